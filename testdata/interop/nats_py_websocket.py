"""nats-py against the WebSocket port of a broker; any failure ends with a non-zero exit.

usage: nats_py_websocket.py URL [CA CERT KEY]
"""

import asyncio
import ssl
import sys

import nats
from nats.errors import NoRespondersError
from settled import settled


async def connect():
    options = {}
    if len(sys.argv) > 4:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=sys.argv[2])
        context.load_cert_chain(sys.argv[3], sys.argv[4])
        options = {"tls": context, "tls_hostname": "localhost"}
    return settled(await nats.connect(sys.argv[1], allow_reconnect=False, **options))


def expect(name, found, wanted):
    if found != wanted:
        print(f"FAILED {name}: found {found!r}, wanted {wanted!r}", flush=True)
        sys.exit(1)
    print(f"ok {name}", flush=True)


async def main():
    one, two = await connect(), await connect()
    subscription = await one.subscribe("flow.*.x")
    await one.flush()
    for i in range(500):
        await two.publish(f"flow.{i}.x", str(i).encode())
    got = [(await subscription.next_msg(timeout=10)).data.decode() for _ in range(500)]
    expect("pub sub", got, [str(i) for i in range(500)])

    large = await one.subscribe("flow.large")
    await one.flush()
    sizes = [0, 100, 100_000, 1_000_000]
    for size in sizes:
        await two.publish("flow.large", b"x" * size)
    expect("large", [len((await large.next_msg(timeout=10)).data) for _ in sizes], sizes)

    async def answer(message):
        await message.respond(b"re:" + message.data)

    await one.subscribe("flow.service", cb=answer)
    await one.flush()
    replies = [(await two.request("flow.service", str(i).encode(), timeout=10)).data for i in range(50)]
    expect("request", replies, [f"re:{i}".encode() for i in range(50)])
    try:
        await two.request("flow.nobody", b"", timeout=10)
        expect("no responders", "a reply", "an error")
    except NoRespondersError:
        pass
    await one.drain()
    await two.close()
    print("all flows passed", flush=True)


asyncio.run(main())
