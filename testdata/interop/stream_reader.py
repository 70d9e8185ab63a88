"""Makes streams and reads them with nats-py: another program than the one that wrote.

stream_reader.py make URL [CA CERT KEY]
stream_reader.py publish URL FILE [CA CERT KEY]       a line of FILE is a subject, a blank, base64 of a message
stream_reader.py compare URL FILE [CA CERT KEY]       a line of FILE is the JSON of what has to be in the stream
stream_reader.py count URL COUNT                      every number from 0 to COUNT - 1 has to be there once
"""

import asyncio
import base64
import json
import ssl
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig


async def connect(url, files):
    options = {}
    if files:
        ca, certificate, key = files
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
        context.load_cert_chain(certificate, key)
        options["tls"] = context
    return await nats.connect(url, **options)


async def messages(js):
    """Every message of the stream, in order."""
    info = await js.stream_info("DATA")
    left = info.state.messages
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=30)
    subscription = await js.pull_subscribe("choria.data.>", stream="DATA", config=config)
    while left > 0:
        batch = await subscription.fetch(min(left, 500), timeout=20)
        left -= len(batch)
        for message in batch:
            yield message


async def compare(js, path):
    wanted = {}
    with open(path) as lines:
        for line in lines:
            record = json.loads(line)
            wanted[record["id"]] = record
    count = 0
    async for message in messages(js):
        identity = message.headers["Nats-Msg-Id"]
        expected = wanted.pop(identity)
        body = json.loads(message.data)
        assert list(body) == ["protocol", "data", "sender", "time", "requestid"], list(body)
        assert message.subject == expected["subject"], (message.subject, expected)
        for field in body:
            assert body[field] == expected[field], (field, body[field], expected[field])
        count += 1
    assert not wanted, f"{len(wanted)} are missing: {list(wanted)[:3]}"
    print(f"{count} messages are right")


async def count_all(js, count):
    seen = set()
    total = 0
    async for message in messages(js):
        total += 1
        seen.add(int(json.loads(message.data)["requestid"], 16))
    missing = set(range(count)) - seen
    assert not missing, f"{len(missing)} are lost: {sorted(missing)[:5]}"
    assert len(seen) == count, len(seen)
    print(f"{count} messages, {total - count} of them twice")


async def main():
    what, url, *rest = sys.argv[1:]
    argument = rest.pop(0) if what != "make" else None
    connection = await connect(url, rest)
    js = connection.jetstream()
    if what == "make":
        await js.add_stream(name="DATA", subjects=["choria.data.>"])
    elif what == "publish":
        with open(argument) as lines:
            for line in lines:
                subject, message = line.split()
                await connection.publish(subject, base64.b64decode(message))
        await connection.flush()
    elif what == "compare":
        await compare(js, argument)
    else:
        await count_all(js, int(argument))
    await connection.close()


asyncio.run(main())
