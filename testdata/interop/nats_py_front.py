"""nats-py against `scripts/nats-server`, which every flow starts as client suites start their server.

usage: nats_py_front.py NATS_SERVER FOLDER CA CERT KEY
Each flow prints `ok NAME`; any failure ends with a non-zero exit.
"""

import asyncio
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import sys

import nats
from nats.errors import MaxPayloadError, NoRespondersError
from settled import settled

PROGRAM, FOLDER, CA, CERT, KEY = sys.argv[1], pathlib.Path(sys.argv[2]), *sys.argv[3:6]
PATIENCE = 20


def expect(name, found, wanted):
    if found != wanted:
        print(f"FAILED {name}: found {found!r}, wanted {wanted!r}", flush=True)
        sys.exit(1)


class Server:
    """One run of the program, with a configuration file and flags."""

    count = 0

    def __init__(self, *flags, conf=None):
        Server.count += 1
        self.log = FOLDER / f"{Server.count}.log"
        command = [PROGRAM, "-a", "127.0.0.1", "-l", str(self.log), "--ports_file_dir", str(FOLDER), *flags]
        if not {"-p", "--port"} & set(flags):
            command += ["-p", "-1"]
        if conf is not None:
            path = FOLDER / f"{Server.count}.conf"
            path.write_text(conf)
            command += ["-c", str(path)]
        self.process = subprocess.Popen(command)
        self.ports_file = FOLDER / f"nats-server_{self.process.pid}.ports"

    async def ready(self):
        for _ in range(PATIENCE * 50):
            if self.ports_file.exists():
                self.ports = json.loads(self.ports_file.read_text())
                self.address = self.ports["nats"][0].removeprefix("nats://")
                return self
            expect("server runs", self.process.poll(), None)
            await asyncio.sleep(0.02)
        sys.exit("FAILED: the server never got ready")

    async def __aenter__(self):
        return await self.ready()

    async def __aexit__(self, *_):
        self.process.kill()
        self.process.wait()

    async def connect(self, login="", scheme="nats", **options):
        errors = []

        async def keep(error):
            errors.append(str(error))

        options.setdefault("allow_reconnect", False)
        client = settled(await nats.connect(f"{scheme}://{login}{self.address}", error_cb=keep, **options))
        client.errors = errors
        return client

    async def refused(self, login="", **options):
        try:
            client = await self.connect(login, **options)
        except Exception as error:  # Each way of failing has a class of its own.
            return str(error).lower()
        await client.close()
        return "no error"


async def until(name, is_so):
    for _ in range(PATIENCE * 50):
        if is_so():
            return
        await asyncio.sleep(0.02)
    sys.exit(f"FAILED {name}: never")


async def ready_signals():
    pid_file = FOLDER / "pid"
    async with Server("-P", str(pid_file), "--client_advertise", "127.0.0.1:1") as server:
        expect("pid", int(pid_file.read_text()), server.process.pid)
        await until("ready in the log", lambda: "[INF] Server is ready" in server.log.read_text())
        pattern = rf"^\[{server.process.pid}\] \S+ \S+ \[INF\] Listening for client connections on {server.address}$"
        expect("address in the log", bool(re.search(pattern, server.log.read_text(), re.MULTILINE)), True)
        client = await server.connect()
        info = client._server_info
        expect("info", (info["port"], info["proto"], info["headers"]), (1, 1, True))
        expect("version", client.connected_server_version.major, 2)
        await client.close()


async def lame_duck():
    leaving = []

    async def leave():
        leaving.append(True)

    async with Server(conf="lame_duck_grace_period: 100ms, lame_duck_duration: 1s") as server:
        client = await server.connect(lame_duck_mode_cb=leave)
        subprocess.run([PROGRAM, "--signal", f"ldm={server.process.pid}"], check=True)
        await until("lame duck is announced", lambda: leaving)
        await until("the client is closed", lambda: client.is_closed)
        expect("exit", server.process.wait(PATIENCE), 0)
        expect("ports file is gone", server.ports_file.exists(), False)


PERMISSIONS = """
# Defined once, used twice.
RULES = {
  publish { allow: ["in", "_INBOX.>"], deny: "in.secret" }
  subscribe = ["out.>", "_INBOX.>"]
}
authorization {
  timeout: 1s
  users = [
    {user: admin, password: "s3 cret"}
    {user: 'guest', pass: guest, permissions: $RULES}
    {user: deaf, pass: deaf, permissions {subscribe {deny: "out.private"}}},
    {user: service, pass: service, permissions {subscribe: ["ask"], allow_responses: true}}
  ]
}
"""


async def permissions():
    async with Server(conf=PERMISSIONS) as server:
        for login in ("", "admin:wrong@", "nobody:guest@"):
            expect(f"login {login}", "authorization violation" in await server.refused(login), True)
        admin = await server.connect("admin:s3%20cret@", user="admin", password="s3 cret")
        guest, deaf = await server.connect("guest:guest@"), await server.connect("deaf:deaf@")
        expect("auth is required", guest._server_info["auth_required"], True)
        heard = await admin.subscribe("in.>")
        refused = await guest.subscribe("in")
        await admin.flush()
        await guest.publish("in.secret", b"1")
        await guest.publish("elsewhere", b"2")
        await guest.flush()
        await until("three violations", lambda: len(guest.errors) == 3)
        wanted = ['subscription to "in"', 'publish to "in.secret"', 'publish to "elsewhere"']
        expect("violations", [w for w in wanted if not any(w in e.lower() for e in guest.errors)], [])
        expect("nothing came through", heard.pending_msgs, 0)
        await refused.unsubscribe()
        # A broad subscription is accepted, and what is denied does not arrive.
        wide = await deaf.subscribe("out.*")
        await deaf.flush()
        for subject in ("out.private", "out.public"):
            await admin.publish(subject, subject.encode())
        expect("filtered", (await wide.next_msg(PATIENCE)).data, b"out.public")
        await answers(server, admin)
        for client in (admin, guest, deaf):
            await client.close()


async def answers(server, admin):
    """One answer to a request is allowed, nothing else is."""
    service = await server.connect("service:service@")

    async def twice(message):
        await message.respond(b"first")
        await message.respond(b"second")
        await service.publish("in", b"other")

    await service.subscribe("ask", cb=twice)
    await service.flush()
    expect("answer", (await admin.request("ask", b"", timeout=PATIENCE)).data, b"first")
    await until("two violations", lambda: len(service.errors) == 2)
    await service.close()


async def tokens():
    async with Server("--auth", "s3cr3t") as server:
        expect("no token", "authorization violation" in await server.refused(), True)
        expect("bad token", "authorization violation" in await server.refused("wrong@"), True)
        client = await server.connect("s3cr3t@")
        await client.close()


ACCOUNTS = """
accounts {
  a { users = [{user: anna, pass: a}] }
  b { users = [{user: bob, pass: b, permissions {publish {deny: ">"}}}] }
}
no_auth_user: anna
"""


async def accounts():
    async with Server(conf=ACCOUNTS) as server:
        nobody, anna, bob = [await server.connect(login) for login in ("", "anna:a@", "bob:b@")]
        mine, theirs = await anna.subscribe("x"), await bob.subscribe("x")
        await anna.flush()
        await bob.flush()
        await nobody.publish("x", b"hello")
        await nobody.flush()
        expect("same account", (await mine.next_msg(PATIENCE)).data, b"hello")
        expect("other account", theirs.pending_msgs, 0)
        try:
            await nobody.request("nobody.there", b"", timeout=PATIENCE)
            expect("no responders", "a reply", "an error")
        except NoRespondersError:
            pass
        for client in (nobody, anna, bob):
            await client.close()


async def limits():
    conf = "max_payload: 1kb; max_connections = 2\nping_interval: '100ms'\nping_max: 2"
    async with Server(conf=conf) as server:
        one, two = await server.connect(), await server.connect()
        expect("max_payload", one.max_payload, 1024)
        try:
            await one.publish("x", b"x" * 1025)
            expect("too large", "sent", "MaxPayloadError")
        except MaxPayloadError:
            pass
        expect("too many", "maximum connections exceeded" in await server.refused(), True)
        await asyncio.sleep(0.6)
        expect("pings are answered", (one.is_connected, two.is_connected), (True, True))
        await one.close()
        await two.close()


async def tls():
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=CA)
    files = f"cert_file: '{CERT}', key_file: '{KEY}', ca_file: '{CA}'"
    options = {"tls": context, "tls_hostname": "localhost"}
    async with Server(conf=f"tls {{ {files} }}") as server:
        client = await server.connect(**options)
        expect("tls", client._server_info["tls_required"], True)
        await client.close()
    users = "authorization { user: joe, password: pw }"
    async with Server(conf=f"{users}, tls {{ {files}, handshake_first: true, verify: true }}") as server:
        await server.refused(tls_handshake_first=True, **options)
        context.load_cert_chain(CERT, KEY)
        expect("password", "authorization" in await server.refused(tls_handshake_first=True, **options), True)
        client = await server.connect("joe:pw@", tls_handshake_first=True, **options)
        expect("tls_verify", client._server_info["tls_verify"], True)
        await client.close()


async def discovery():
    """Clients learn of brokers that join and leave, and go to one of them when theirs ends."""
    conf = "cluster {{ name: c, listen: '127.0.0.1:-1', routes: [{}] }}"
    back = []

    async def reconnected():
        back.append(True)

    async with Server(conf=conf.format("")) as one:
        route = f"'{one.ports['cluster'][0]}'"
        options = {"allow_reconnect": True, "reconnect_time_wait": 0.1, "reconnected_cb": reconnected}
        async with Server(conf=conf.format(route)) as two:
            async with Server(conf=conf.format(route)) as three:
                client = await one.connect(**options)
                await until("all are known", lambda: len(client.servers) == 3)
                other = await three.connect()
                heard = await other.subscribe("over.there", queue="q")
                await other.flush()
                reply = asyncio.ensure_future(heard.next_msg(PATIENCE))
                while not reply.done():
                    await client.publish("over.there", b"hello")
                    await asyncio.sleep(0.05)
                expect("message over a route", reply.result().data, b"hello")
                await other.close()
            known = 3
            while known != 2:
                late = await two.connect()
                known = len(late._server_info["connect_urls"])
                await late.close()
            one.process.kill()
            await until("the client is at another broker", lambda: back)
            await client.close()


async def refusals():
    """What has no counterpart is refused by its name."""
    for conf, name in (
        ("jetstream {}", "jetstream"),
        ("leafnodes { listen: 127.0.0.1:-1 }", "leafnodes"),
        ("authorization { users: [{nkey: UABC}] }", "nkey"),
        ("tls { cert_file: a, key_file: b, verify_and_map: true }", "tls.verify_and_map"),
        ("cluster { name: c, listen: 127.0.0.1:-1, what: 1 }", "cluster.what"),
        ("frobnicate: 1", "frobnicate"),
        ("port: [", "a list is not closed"),
    ):
        path = FOLDER / "refused.conf"
        path.write_text(conf)
        run = subprocess.run([PROGRAM, "-c", str(path)], capture_output=True, text=True, timeout=PATIENCE, check=False)
        expect(f"exit of {conf}", run.returncode, 1)
        expect(f"reason of {conf}", ("[FTL]" in run.stderr, name in run.stderr), (True, True))


async def stop():
    async with Server() as server:
        server.process.send_signal(signal.SIGTERM)
        expect("exit", server.process.wait(PATIENCE), 0)
        expect("ports file is gone", server.ports_file.exists(), False)


async def main():
    for flow in (ready_signals, lame_duck, permissions, tokens, accounts, limits, tls, discovery, refusals, stop):
        await flow()
        print("ok", flow.__name__, flush=True)


asyncio.run(asyncio.wait_for(main(), 90))
print("all flows passed", flush=True)
