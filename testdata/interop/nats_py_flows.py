"""The flows of nats-py against a broker: each prints `ok NAME`; any failure ends with a non-zero exit.

usage: nats_py_flows.py URL [CA CERT KEY]
Prints `restart` and waits for a line on standard input while its caller restarts the broker on the same port.
"""

import asyncio
import ssl
import sys

import nats
from nats.errors import NoRespondersError, TimeoutError
from settled import settled


def tls_context():
    if len(sys.argv) < 5:
        return None
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=sys.argv[2])
    context.load_cert_chain(sys.argv[3], sys.argv[4])
    return context


async def quiet(_):
    """Errors show where a flow waits for something; the log of each retry would hide them."""


async def connect(**options):
    options.setdefault("error_cb", quiet)
    context = tls_context()
    if context:
        options.update(tls=context, tls_hostname="localhost")
    return settled(await nats.connect(sys.argv[1], **options))


def expect(name, found, wanted):
    if found != wanted:
        print(f"FAILED {name}: found {found!r}, wanted {wanted!r}", flush=True)
        sys.exit(1)


async def pub_sub(one, two):
    got = []
    subscription = await one.subscribe("flow.*.x")
    await one.flush()
    for i in range(500):
        await two.publish(f"flow.{i}.x", str(i).encode())
    await two.flush()
    for _ in range(500):
        message = await subscription.next_msg(timeout=5)
        got.append(message.data.decode())
    expect("pub_sub", got, [str(i) for i in range(500)])
    await subscription.unsubscribe()


async def large(one, two):
    subscription = await one.subscribe("flow.large")
    await one.flush()
    payload = bytes(range(256)) * 4000
    await two.publish("flow.large", payload)
    message = await subscription.next_msg(timeout=5)
    expect("large", message.data == payload, True)
    await subscription.unsubscribe()


async def request(one, two):
    async def answer(message):
        await message.respond(b"re:" + message.data)

    subscription = await one.subscribe("flow.service", cb=answer)
    await one.flush()
    for i in range(50):
        reply = await two.request("flow.service", str(i).encode(), timeout=5)
        expect("request", reply.data, b"re:" + str(i).encode())
    await subscription.unsubscribe()
    await one.flush()
    try:
        await two.request("flow.nobody", b"", timeout=5)
        expect("no responders", "a reply", "NoRespondersError")
    except NoRespondersError:
        pass


async def queue(one, two):
    counts = [0, 0]

    def counter(index):
        async def count(_):
            counts[index] += 1

        return count

    subscriptions = [await one.subscribe("flow.q", queue="workers", cb=counter(i)) for i in range(2)]
    everyone = await two.subscribe("flow.*")
    await one.flush()
    await two.flush()
    for _ in range(100):
        await two.publish("flow.q", b"job")
    await two.flush()
    for _ in range(100):
        await everyone.next_msg(timeout=5)
    await one.flush()
    await asyncio.sleep(0.1)
    expect("queue total", sum(counts), 100)
    expect("queue is shared", min(counts) >= 20, True)
    for subscription in subscriptions:
        await subscription.unsubscribe()
    await everyone.unsubscribe()


async def headers(one, two):
    subscription = await one.subscribe("flow.headers")
    await one.flush()
    await two.publish("flow.headers", b"body", headers={"Trace-Id": "abc", "x": "1"})
    message = await subscription.next_msg(timeout=5)
    expect("headers", (message.headers.get("Trace-Id"), message.headers.get("x"), message.data), ("abc", "1", b"body"))
    await subscription.unsubscribe()


async def unsubscribe_after(one, two):
    got = []

    async def keep(message):
        got.append(message.data)

    subscription = await one.subscribe("flow.few", cb=keep)
    await subscription.unsubscribe(limit=3)
    await one.flush()
    for i in range(10):
        await two.publish("flow.few", str(i).encode())
    await two.flush()
    await one.flush()
    await asyncio.sleep(0.1)
    expect("unsubscribe after", got, [b"0", b"1", b"2"])


async def drain(two):
    three = await connect()
    got = []

    async def slow(message):
        await asyncio.sleep(0.002)
        got.append(message.data)

    await three.subscribe("flow.drain", cb=slow)
    await three.flush()
    for _ in range(100):
        await two.publish("flow.drain", b"x")
    await two.flush()
    await asyncio.sleep(0.05)
    await three.drain()
    while not three.is_closed:
        await asyncio.sleep(0.01)
    expect("drain", len(got), 100)


async def reconnect():
    happened = []

    async def reconnected():
        happened.append("reconnected")

    client = await connect(
        reconnected_cb=reconnected, reconnect_time_wait=0.1, max_reconnect_attempts=200, allow_reconnect=True
    )
    subscription = await client.subscribe("flow.again")
    await client.flush()
    print("restart", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for _ in range(200):
        if happened:
            break
        await asyncio.sleep(0.05)
    expect("reconnect", happened[:1], ["reconnected"])
    await client.publish("flow.again", b"back")
    message = await subscription.next_msg(timeout=5)
    expect("resubscribed", message.data, b"back")
    await client.close()


async def main():
    one, two = await connect(), await connect()
    expect("server info", one.connected_server_version.major, 2)
    for flow in (pub_sub, large, request, queue, headers, unsubscribe_after):
        await flow(one, two)
        print("ok", flow.__name__, flush=True)
    await drain(two)
    print("ok drain", flush=True)
    await one.close()
    await two.close()
    await reconnect()
    print("ok reconnect", flush=True)


asyncio.run(asyncio.wait_for(main(), 60))
print("all flows passed", flush=True)
