// The flows of the npm client `nats` against a broker: each prints `ok NAME`; any failure ends with a non-zero exit.
//
// usage: node nats_js_flows.mjs MODULES_DIR URL [CA CERT KEY]
// Prints `restart` and waits for a line on standard input while its caller restarts the broker on the same port.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [modules, url, ca, cert, key] = process.argv.slice(2);
const { connect, headers, StringCodec, Events, ErrorCode } = createRequire(modules + "/")("nats");
const text = StringCodec();

function open(extra = {}) {
  const tls = ca ? { ca: readFileSync(ca, "utf8"), cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") } : undefined;
  return connect({ servers: url, tls, timeout: 5000, ...extra });
}

function expect(name, found, wanted) {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    console.log(`FAILED ${name}: found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`);
    process.exit(1);
  }
}

async function take(subscription, count) {
  const messages = [];
  if (count === 0) return messages;
  for await (const message of subscription) {
    messages.push(message);
    if (messages.length === count) break;
  }
  return messages;
}

async function pubSub(one, two) {
  const subscription = one.subscribe("flow.>", { max: 500 });
  await one.flush();
  for (let i = 0; i < 500; i++) two.publish(`flow.${i}.x`, text.encode(String(i)));
  const got = await take(subscription, 500);
  expect("pub sub", got.map((m) => text.decode(m.data)), [...Array(500).keys()].map(String));
}

async function request(one, two) {
  const subscription = one.subscribe("flow.service", {
    callback: (_error, message) => message.respond(text.encode("re:" + text.decode(message.data))),
  });
  await one.flush();
  for (let i = 0; i < 50; i++) {
    const reply = await two.request("flow.service", text.encode(String(i)), { timeout: 5000 });
    expect("request", text.decode(reply.data), "re:" + i);
  }
  subscription.unsubscribe();
  await one.flush();
  try {
    await two.request("flow.nobody", text.encode(""), { timeout: 5000 });
    expect("no responders", "a reply", "an error");
  } catch (error) {
    expect("no responders", error.code, ErrorCode.NoResponders);
  }
}

async function queue(one, two) {
  const counts = [0, 0];
  const subscriptions = counts.map((_, i) => one.subscribe("flow.q", { queue: "workers", callback: () => counts[i]++ }));
  await one.flush();
  for (let i = 0; i < 100; i++) two.publish("flow.q", text.encode("job"));
  await two.flush();
  await one.flush();
  expect("queue total", counts[0] + counts[1], 100);
  expect("queue is shared", Math.min(...counts) >= 20, true);
  subscriptions.forEach((subscription) => subscription.unsubscribe());
}

async function headerFlow(one, two) {
  const subscription = one.subscribe("flow.headers", { max: 1 });
  await one.flush();
  const sent = headers();
  sent.append("Trace-Id", "abc");
  sent.append("many", "1");
  sent.append("many", "2");
  two.publish("flow.headers", text.encode("body"), { headers: sent });
  const [message] = await take(subscription, 1);
  expect("headers", [message.headers.get("Trace-Id"), message.headers.values("many"), text.decode(message.data)], ["abc", ["1", "2"], "body"]);
}

async function drain(two) {
  const three = await open();
  let got = 0;
  three.subscribe("flow.drain", { callback: () => got++ });
  await three.flush();
  for (let i = 0; i < 100; i++) two.publish("flow.drain");
  await two.flush();
  await three.drain();
  expect("drain", got, 100);
}

async function reconnect() {
  const client = await open({ reconnectTimeWait: 100, maxReconnectAttempts: 200 });
  const back = (async () => {
    for await (const status of client.status()) if (status.type === Events.Reconnect) return true;
  })();
  const subscription = client.subscribe("flow.again", { max: 1 });
  await client.flush();
  console.log("restart");
  await new Promise((resolve) => createInterface({ input: process.stdin }).once("line", resolve));
  await back;
  client.publish("flow.again", text.encode("back"));
  const [message] = await take(subscription, 1);
  expect("resubscribed", text.decode(message.data), "back");
  await client.close();
}

setTimeout(() => { console.log("FAILED: timed out"); process.exit(1); }, 60000).unref();
const one = await open();
const two = await open();
for (const flow of [pubSub, request, queue, headerFlow]) {
  await flow(one, two);
  console.log("ok", flow.name);
}
await drain(two);
console.log("ok drain");
await one.close();
await two.close();
await reconnect();
console.log("ok reconnect");
console.log("all flows passed");
process.exit(0);
