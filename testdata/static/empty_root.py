"""Broker, server and one request in a folder that holds the program and /etc/resolv.conf, and nothing else: no libraries, no
users, no time zones, no devices. Names and SRV records come from a name server of this script.

usage: unshare -rn python3 empty_root.py CHORIA
Prints `all passed` at the end; any failure ends with a non-zero exit.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from network import Network

PORT = 4222
A, SRV = 1, 33
RECORDS = {
    ("broker.example.net", A): socket.inet_aton("127.0.0.1"),
    ("_mcollective-server._tcp.example.net", SRV):
        struct.pack("!HHH", 0, 0, PORT) + b"\x06broker\x07example\x03net\x00",
}


def serve_names(server):
    """Answers what RECORDS has; other names have no such records."""
    while True:
        question, peer = server.recvfrom(512)
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1: at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        kind = struct.unpack("!H", question[at + 1: at + 3])[0]
        asked.add((".".join(labels), kind))
        record = RECORDS.get((".".join(labels), kind))
        head = question[:2] + struct.pack("!HHHHH", 0x8580, 1, 1 if record else 0, 0, 0)
        answer = head + question[12: at + 5]
        if record:
            answer += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(record)) + record
        server.sendto(answer, peer)


asked = set()
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
threading.Thread(target=serve_names, args=(server,), daemon=True).start()

with tempfile.TemporaryDirectory() as root:
    os.mkdir(f"{root}/etc")
    with open(f"{root}/etc/resolv.conf", "w", encoding="utf-8") as file:
        file.write("nameserver 127.0.0.1\n")
    shutil.copy(sys.argv[1], f"{root}/choria")
    found = sorted(f"{where}/{name}"[len(root):] for where, _, names in os.walk(root) for name in names)
    assert found == ["/choria", "/etc/resolv.conf"], found
    env = {"TZ": "Europe/Malta", "LANG": "en_GB.UTF-8"}
    with Network(["chroot", root, "/choria"], root, "/net", env) as network:
        os.mkdir(f"{root}/net")
        network.root = f"{root}/net"
        network.certificates()
        network.configure(PORT, "plugin.choria.srv_domain = example.net\n")
        network.start_both()
        network.ask()
        # What needs the host says what it misses, and goes on.
        assert "choria" in network.choria("--help")

missing = set(RECORDS) - asked
assert not missing, missing
print("all passed")
