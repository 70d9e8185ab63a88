"""What the tests of data adapters have in common: programs, a network with adapters, messages and their outputs."""

import asyncio
import base64
import json
import os
import socket
import subprocess
import time
import uuid

import nats

SUBJECT = "mcollective.broadcast.agent.registration"
LIMIT = 240
children = []


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(name, command, folder, environment=None):
    """Starts a program whose output goes to a file."""
    log = open(folder / f"{name}.log", "a")
    child = subprocess.Popen(
        command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | (environment or {})
    )
    children.append(child)
    return child


def wait_for(what, ready, limit=LIMIT):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            found = ready()
            if found:
                return found
        except (OSError, json.JSONDecodeError):
            pass
        time.sleep(0.2)
    raise SystemExit(f"waited {limit} s for {what}")


def listens(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stdout}{done.stderr}")
    return done.stdout


def message(number):
    """A registration request of protocol v1, and what an adapter makes of it."""
    sender, request = f"node{number % 97}.example.net", uuid.uuid4().hex
    when = int(time.time()) - number % 50
    data = json.dumps({"n": number, "text": "Grüße \" \\ " + "x" * (number % 300)}, ensure_ascii=False)
    body = {
        "protocol": "choria:request:1",
        "message": data,
        "envelope": {
            "requestid": request,
            "senderid": sender,
            "callerid": f"choria={sender}",
            "collective": "mcollective",
            "agent": "registration",
            "ttl": 60,
            "time": when,
            "filter": {"fact": [], "cf_class": [], "agent": ["registration"], "identity": [], "compound": []},
        },
    }
    secure = {"protocol": "choria:secure:request:1", "message": json.dumps(body), "signature": "aW5zZWN1cmU=", "pubcert": "insecure"}
    transport = {
        "protocol": "choria:transport:1",
        "data": base64.b64encode(json.dumps(secure).encode()).decode(),
        "headers": {"mc_sender": sender},
    }
    expected = {
        "protocol": "choria:adapters:choria_streams:output:1",
        "data": data,
        "sender": sender,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)),
        "requestid": request,
    }
    return json.dumps(transport).encode(), expected, when


def start_network(choria, folder, adapters, environment=None):
    """A broker without TLS, and adapters beside it. The port of the broker."""
    port = free_port()
    (folder / "broker.conf").write_text(
        f"identity = broker\nplugin.choria.broker_network = true\nplugin.choria.network.client_port = {port}\n"
        f"plugin.choria.network.listen_address = 127.0.0.1\n"
    )
    start("broker", [choria, "broker", "--disable-tls", "--config", folder / "broker.conf"], folder)
    wait_for("the broker", lambda: listens(port), 30)
    lines = [
        "identity = adapter",
        "plugin.security.provider = file",
        f"plugin.choria.middleware_hosts = nats://127.0.0.1:{port}",
        "plugin.choria.adapters = " + ", ".join(adapters),
    ]
    for name, keys in adapters.items():
        common = {
            "ingest.topic": SUBJECT,
            "ingest.protocol": "request",
            "spool.dir": folder / f"spool-{name}",
        }
        lines += [f"plugin.choria.adapter.{name}.{key} = {value}" for key, value in (common | keys).items()]
    (folder / "adapt.conf").write_text("\n".join(lines) + "\n")
    checked = subprocess.run(
        [choria, "--disable-tls", "adapt", "--check", folder / "adapt.conf"],
        capture_output=True,
        text=True,
        env=os.environ | (environment or {}),
    )
    print(checked.stdout.strip())
    if checked.returncode:
        raise SystemExit(f"adapt --check failed: {checked.stderr}")
    command = [choria, "--disable-tls", "adapt", "--config", folder / "adapt.conf"]
    adapter = start("adapt", command, folder, environment)
    marks = len(adapters)
    log = folder / "adapt.log"
    wait_for("the adapters", lambda: log.exists() and log.read_text().count("adapt: reading adapter=") >= marks, 30)
    return port, adapter


async def publish(port, numbers, expected):
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    for number in numbers:
        payload, output, when = message(number)
        expected[output["requestid"]] = (output, when)
        await client.publish(SUBJECT, payload)
        if number % 100 == 99:
            await client.flush()
            await asyncio.sleep(0.02)
    await client.drain()
