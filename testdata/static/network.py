"""A broker, a server and a client of one network with certificates, run by whatever command runs the program: as it is, in an
empty folder, under an emulator. Used by the scripts beside this one and by scripts/measure-static."""

import os
import select
import socket
import subprocess
import time

DEADLINE = 30


class Network:
    """`command` runs the program; `root` is the folder that it sees as `inside`."""

    def __init__(self, command, root, inside, env=None):
        self.command, self.root, self.inside = command, root, inside
        self.env = {"PATH": os.environ["PATH"], **(env or {})}
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.kill()
            process.wait()

    def choria(self, *words, **more):
        """Runs the program to its end; gives what it printed."""
        done = subprocess.run(
            [*self.command, *words], env={**self.env, **more}, timeout=DEADLINE, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        assert done.returncode == 0, f"choria {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def certificates(self):
        """An authority, and what it issues for everybody."""
        place = lambda name: f"{self.inside}/{name}"
        self.choria("ca", "init", "--dir", place("ca"))
        for name in ("broker.example.net", "n1.example.net", "alice.mcollective"):
            words = ["--for", "broker", "--alt", "localhost"] if name.startswith("broker") else []
            self.choria("ca", "sign", "--dir", place("ca"), "--out", place("ssl"), *words, name)

    def write(self, role, identity, lines):
        """The configuration of one of them."""
        common = f"identity = {identity}\nplugin.choria.ssldir = {self.inside}/ssl\nloglevel = info\n"
        with open(f"{self.root}/{role}.conf", "w", encoding="utf-8") as file:
            file.write(common + lines)

    def configure(self, port, brokers):
        """Writes all configurations. `brokers` says how the broker at this port is found."""
        self.write("broker", "broker.example.net", f"plugin.choria.use_srv = false\n"
                   f"plugin.choria.broker_network = true\nplugin.choria.network.listen_address = 127.0.0.1\n"
                   f"plugin.choria.network.client_port = {port}\n")
        self.write("server", "n1.example.net", f"rpcauthorization = false\n{brokers}"
                   f"plugin.choria.status_file_path = {self.inside}/status.json\n")
        self.write("client", "shell.example.net", brokers)

    def start(self, role, sign):
        """Starts a daemon; gives it, and the time in seconds until its log had the sign."""
        begin = time.perf_counter()
        process = subprocess.Popen(
            [*self.command, role, "--config", f"{self.inside}/{role}.conf"], env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self.running.append(process)
        log = b""
        while sign.encode() not in log:
            left = max(0, begin + DEADLINE - time.perf_counter())
            part = os.read(process.stdout.fileno(), 65536) if select.select([process.stdout], [], [], left)[0] else b""
            assert part, f"{role}: no {sign!r} in\n{log.decode()}"
            log += part
        return process, time.perf_counter() - begin

    def start_both(self):
        """Starts broker and server; gives the time that the server took from its start until it was subscribed."""
        self.start("broker", "listening for clients on")
        return self.start("server", "server: started")[1]

    def ask(self):
        """One request over the network."""
        answer = self.choria(
            "rpc", "rpcutil", "ping", "-I", "n1.example.net", "--json", "--config", f"{self.inside}/client.conf",
            MCOLLECTIVE_CERTNAME="alice.mcollective",
        )
        assert '"pong"' in answer and "n1.example.net" in answer, answer


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def known_broker(port):
    """Lines that name the broker, for programs that see a host's files."""
    return f"plugin.choria.use_srv = false\nplugin.choria.middleware_hosts = localhost:{port}\n"
