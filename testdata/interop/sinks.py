"""Data adapters against Apache Kafka and against kinesalite: what is published is read back with clients of others.

usage: sinks.py kafka|cluster|kinesis CHORIA PEERS FOLDER
CHORIA is the program, PEERS the folder of scripts/test-sinks, FOLDER an empty one for files of this run.
Prints what was found, and ends with 0 when all of it is as it should be.
"""

import sys
from pathlib import Path

from sinks_cluster import test_cluster
from sinks_kafka import test_kafka
from sinks_kinesis import test_kinesis
from sinks_network import children


def main():
    choria, peers, folder = (Path(path).absolute() for path in sys.argv[2:5])
    folder.mkdir(parents=True)
    try:
        {"kafka": test_kafka, "cluster": test_cluster, "kinesis": test_kinesis}[sys.argv[1]](choria, peers, folder)
    except BaseException:
        for log in folder.glob("adapt.log"):
            print("".join(log.read_text().splitlines(keepends=True)[-20:]), file=sys.stderr)
        raise
    finally:
        for child in reversed(children):
            child.kill()
            child.wait()


main()
