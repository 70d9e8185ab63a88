"""Broker, server and one request on loopback, with the program run by a command such as an emulator.

usage: python3 one_request.py COMMAND...
"""

import sys
import tempfile

from network import Network, free_port, known_broker

with tempfile.TemporaryDirectory() as folder, Network(sys.argv[1:], folder, folder) as network:
    network.certificates()
    port = free_port()
    network.configure(port, known_broker(port))
    network.start_both()
    network.ask()
print("all passed")
