// The npm client `nats.ws` against the WebSocket port of a broker; any failure ends with a non-zero exit.
//
// usage: node nats_js_websocket.mjs MODULES_DIR URL [CA CERT KEY]
// The WebSocket is the one of the npm package `ws`, which can show a certificate and deflates messages.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { webcrypto } from "node:crypto";

const [modules, url, ca, cert, key] = process.argv.slice(2);
const need = createRequire(modules + "/");
const Ws = need("ws");
let extensions = "";
let deflates = true;

globalThis.crypto ??= webcrypto;
globalThis.WebSocket = class extends Ws {
  constructor(target) {
    const tls = ca ? { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) } : {};
    super(target, { perMessageDeflate: deflates, ...tls });
    this.addEventListener("open", () => (extensions = this.extensions));
  }
};
const { connect, StringCodec, headers } = need("nats.ws");
const text = StringCodec();

function expect(name, found, wanted) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    console.log(`FAILED ${name}: found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`);
    process.exit(1);
  }
}

async function take(subscription, count) {
  const messages = [];
  for await (const message of subscription) {
    messages.push(message);
    if (messages.length === count) break;
  }
  return messages;
}

async function flows() {
  const one = await connect({ servers: url, timeout: 5000 });
  const two = await connect({ servers: url, timeout: 5000 });
  expect("extension", extensions.includes("permessage-deflate"), deflates);

  const many = one.subscribe("flow.*.x", { max: 500 });
  await one.flush();
  for (let i = 0; i < 500; i++) two.publish(`flow.${i}.x`, text.encode(String(i)));
  const got = await take(many, 500);
  expect("pub sub", got.map((m) => text.decode(m.data)), [...Array(500).keys()].map(String));

  const large = one.subscribe("flow.large", { max: 4 });
  await one.flush();
  for (const size of [0, 100_000, 500_000, 1_000_000]) {
    two.publish("flow.large", Uint8Array.from({ length: size }, (_, i) => (i * i) % 251));
  }
  const sizes = await take(large, 4);
  expect("large", sizes.map((m) => m.data.length), [0, 100_000, 500_000, 1_000_000]);
  expect("bytes", sizes[3].data.every((byte, i) => byte === (i * i) % 251), true);

  one.subscribe("flow.service", {
    callback: (_error, message) => {
      const h = headers();
      h.set("Answered-By", "one");
      message.respond(text.encode("re:" + text.decode(message.data)), { headers: h });
    },
  });
  await one.flush();
  for (let i = 0; i < 50; i++) {
    const reply = await two.request("flow.service", text.encode(String(i)), { timeout: 5000 });
    expect("request", [text.decode(reply.data), reply.headers.get("Answered-By")], ["re:" + i, "one"]);
  }
  try {
    await two.request("flow.nobody", text.encode(""), { timeout: 5000 });
    expect("no responders", "a reply", "an error");
  } catch (error) {
    expect("no responders", error.code, "503");
  }
  await one.drain();
  await two.close();
}

for (deflates of [false, true]) {
  await flows();
  console.log(`ok ${deflates ? "deflated" : "plain"}`);
}
console.log("all flows passed");
process.exit(0);
