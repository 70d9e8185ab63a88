"""nats-py as a consumer of registration: takes every layer of the messages apart and prints one JSON line for each.

usage: nats_py_registration.py URL SUBJECT [CA CERT KEY]
Prints `ready`, then lines until it is stopped.
"""

import asyncio
import base64
import gzip
import json
import ssl
import sys

import nats
from settled import settled


def opened(data):
    """What the layers say, each without the one inside it."""
    transport = json.loads(data)
    secure = json.loads(base64.b64decode(transport.pop("data"), validate=True))
    if "message" in secure:
        signed = secure.pop("message")
        request = json.loads(signed)
        text = request.pop("message")
    else:
        signed = base64.b64decode(secure.pop("request"), validate=True).decode()
        request = json.loads(signed)
        text = base64.b64decode(request.pop("message"), validate=True).decode()
    body = json.loads(text)
    if "zcontent" in body:
        unpacked = gzip.decompress(base64.b64decode(body["zcontent"], validate=True))
    elif isinstance(body["content"], str):
        unpacked = base64.b64decode(body["content"], validate=True)
    else:
        unpacked = json.dumps(body["content"]).encode()
    return {
        "transport": transport,
        "secure": secure,
        "signed": signed,
        "request": request,
        "text": text,
        "body": body,
        "keys": list(body),
        "unpacked": unpacked.decode(),
    }


async def main():
    context = None
    if len(sys.argv) > 3:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=sys.argv[3])
        context.load_cert_chain(sys.argv[4], sys.argv[5])
    client = settled(await nats.connect(sys.argv[1], tls=context, tls_hostname="localhost" if context else None))
    subscription = await client.subscribe(sys.argv[2])
    await client.flush()
    print("ready", flush=True)
    async for message in subscription.messages:
        seen = {"subject": message.subject, "reply": message.reply, "headers": message.headers}
        print(json.dumps(seen | opened(message.data)), flush=True)


asyncio.run(main())
