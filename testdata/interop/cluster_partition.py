"""Two brokers in network namespaces of their own; the link between them fails and returns.

usage: unshare -rn python3 cluster_partition.py CHORIA FOLDER
Prints `all passed` at the end; any failure ends with a non-zero exit.
"""

import ctypes
import os
import socket
import subprocess
import sys
import time

CHORIA, FOLDER = sys.argv[1:3]
ADDRESSES = ["10.99.0.1", "10.99.0.2"]
DEADLINE = 20
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def sh(command):
    subprocess.run(command, shell=True, check=True)


def enter(namespace):
    with open(namespace) as file:
        if LIBC.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def start(number):
    name = f"{FOLDER}/p{number}"
    with open(f"{name}.conf", "w") as file:
        file.write(
            f"identity = p{number}\nloglevel = debug\nlogfile = {name}.log\nplugin.choria.use_srv = false\n"
            "plugin.choria.broker_network = true\n"
            f"plugin.choria.network.listen_address = {ADDRESSES[number]}\n"
            "plugin.choria.network.ping_interval = 300ms\nplugin.choria.network.write_deadline = 5s\n"
            f"plugin.choria.network.peers = {ADDRESSES[0]}:5222, {ADDRESSES[1]}:5222\n"
        )
    environment = dict(os.environ, INSECURE_YES_REALLY="true")
    return subprocess.Popen([CHORIA, "broker", "--config", f"{name}.conf"], env=environment)


class Peer:
    """A client that speaks the protocol by hand."""

    def __init__(self, address):
        until = time.time() + DEADLINE
        while True:
            try:
                self.socket = socket.create_connection((address, 4222), timeout=DEADLINE)
                break
            except OSError:
                assert time.time() < until, "the broker never listened"
                time.sleep(0.05)
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"INFO ")
        self.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n')
        self.sync()

    def send(self, data):
        self.socket.sendall(data)

    def sync(self):
        self.send(b"PING\r\n")
        lines = []
        while True:
            line = self.file.readline()
            assert line, "closed"
            if line == b"PONG\r\n":
                return lines
            if line == b"PING\r\n":
                self.send(b"PONG\r\n")
            else:
                lines.append(line)

    def is_heard(self, subject):
        self.send(b"SUB probe.* p\r\nPUB " + subject + b" probe.1 0\r\n\r\nUNSUB p\r\n")
        return not any(line.startswith(b"HMSG probe.1 ") for line in self.sync())

    def wait_until(self, what, subject, heard):
        until = time.time() + DEADLINE
        others = self.others
        while self.is_heard(subject) != heard:
            assert time.time() < until, what
            for other in others:
                other.sync()
            time.sleep(0.05)


def main():
    ours = "/proc/self/ns/net"
    holder = subprocess.Popen(["unshare", "-n", "sleep", "300"])
    own = os.readlink(ours)
    namespaces = [f"/proc/{os.getpid()}/ns/net", f"/proc/{holder.pid}/ns/net"]
    while os.readlink(namespaces[1]) == own:
        time.sleep(0.01)
    keep = open(ours)
    sh("ip link set lo up; ip link add name near type veth peer name far")
    sh(f"ip link set far netns {holder.pid}")
    sh(f"ip addr add {ADDRESSES[0]}/24 dev near; ip link set near up")
    inside = f"nsenter -t {holder.pid} -n "
    sh(f"{inside} ip link set lo up; {inside} ip addr add {ADDRESSES[1]}/24 dev far; {inside} ip link set far up")
    brokers = [start(0)]
    enter(namespaces[1])
    brokers.append(start(1))
    there = Peer(ADDRESSES[1])
    LIBC.setns(keep.fileno(), CLONE_NEWNET)
    here = Peer(ADDRESSES[0])
    here.others, there.others = [there], [here]
    try:
        here.send(b"SUB here.* 1\r\n")
        there.send(b"SUB there.* 1\r\n")
        here.sync()
        there.sync()
        here.wait_until("route at the start", b"there.x", True)
        there.wait_until("route back at the start", b"here.x", True)
        # A short failure costs nothing but time.
        sh("ip link set near down")
        here.send(b"PUB there.kept 4\r\nkept\r\n")
        here.sync()
        time.sleep(0.2)
        sh("ip link set near up")
        until = time.time() + DEADLINE
        while b"kept\r\n" not in there.sync():
            assert time.time() < until, "the message was lost"
            here.sync()
            time.sleep(0.05)
        print("a short failure: ok", flush=True)
        # A long one: both forget each other, and find each other again.
        sh("ip link set near down")
        here.wait_until("partition seen here", b"there.x", False)
        there.wait_until("partition seen there", b"here.x", False)
        there.send(b"SUB new.* 2\r\n")
        there.sync()
        sh("ip link set near up")
        here.wait_until("healed here", b"there.x", True)
        there.wait_until("healed there", b"here.x", True)
        here.wait_until("what is new is known", b"new.x", True)
        print("a long failure: ok", flush=True)
        assert all(broker.poll() is None for broker in brokers), "a broker ended"
    finally:
        for process in [*brokers, holder]:
            process.kill()
            process.wait()
    print("all passed", flush=True)


main()
