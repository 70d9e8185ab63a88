"""Data adapters against one broker of Apache Kafka: plain, TLS, logins, compression, restarts."""

import asyncio
import base64
import json
import signal
import subprocess
import time
import uuid
from pathlib import Path

from sinks_network import free_port, listens, publish, run, start, start_network, wait_for


def certificates(folder):
    """A CA and a certificate for 127.0.0.1, in PEM as Kafka wants it."""
    key, crt, ca_key, ca = (str(folder / name) for name in ("k.key", "k.crt", "ca.key", "ca.pem"))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run(["openssl", "req", "-x509", *curve, "-days", "2", "-subj", "/CN=Test CA", "-keyout", ca_key, "-out", ca])
    csr = str(folder / "k.csr")
    run(["openssl", "req", *curve, "-subj", "/CN=kafka", "-keyout", key, "-out", csr])
    names = folder / "names.cnf"
    names.write_text("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
    run(["openssl", "x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
         "-extfile", str(names), "-out", crt])
    store = folder / "kafka.pem"
    store.write_text(Path(key).read_text() + Path(crt).read_text())
    return store, ca


class Kafka:
    """Apache Kafka in KRaft mode: one process is broker and controller."""

    def __init__(self, peers, folder):
        self.folder, self.classes = folder, f"{peers}/kafka/lib/*"
        self.plain, self.secure, controller = free_port(), free_port(), free_port()
        store, self.ca = certificates(folder)
        login = "org.apache.kafka.common.security"
        scram = f"{login}.scram.ScramLoginModule required;"
        self.settings = folder / "server.properties"
        self.settings.write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{self.plain},SASL_SSL://127.0.0.1:{self.secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.plain},SASL_SSL://127.0.0.1:{self.secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
auto.create.topics.enable=false
ssl.keystore.type=PEM
ssl.keystore.location={store}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_ann="plain-secret";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={scram}
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram}
""")
        users = [f"SCRAM-SHA-{bits}=[name=ann,password=scram-secret]" for bits in (256, 512)]
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        run(["java", "-cp", self.classes, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", self.settings,
             "--add-scram", users[0], "--add-scram", users[1]])

    def start(self):
        command = ["java", "-Xmx512m", "-cp", self.classes, "kafka.Kafka", self.settings]
        self.process = start("kafka", command, self.folder)
        wait_for("Kafka", lambda: listens(self.plain) and listens(self.secure), 300)

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait(60)


def test_kafka(choria, peers, folder):
    from kafka.admin import KafkaAdminClient, NewTopic

    kafka = Kafka(peers, folder)
    kafka.start()
    server = f"127.0.0.1:{kafka.plain}"
    admin = KafkaAdminClient(bootstrap_servers=server)
    topics = {"plain": "plain.registration", "gzip": "gzip.registration", "snappy": "snappy.registration"}
    admin.create_topics([NewTopic(topic, 3, 1) for topic in topics.values()])
    admin.close()
    for name in ("plain", "scram"):
        (folder / f"{name}.password").write_text(f"{name}-secret\n")
    adapters = {
        name: {"type": "kafka", "kafka.topic": f"{name}.{{agent}}", "kafka.compression": name.replace("plain", "none"),
               "kafka.headers": "requestid={request_id}, collective={collective}"}
        for name in topics
    }
    secure = {"kafka.servers": f"127.0.0.1:{kafka.secure}", "kafka.ca": kafka.ca, "kafka.user": "ann"}
    adapters["plain"] |= {"kafka.servers": f"127.0.0.1:1, {server}", "kafka.tls": "no"}
    adapters["gzip"] |= secure | {"kafka.sasl": "scram-sha-512", "kafka.password_file": folder / "scram.password"}
    adapters["snappy"] |= secure | {"kafka.sasl": "plain", "kafka.password_file": folder / "plain.password"}

    port, adapter = start_network(choria, folder, adapters)
    wrong_logins(choria, folder, kafka)
    expected = {}
    asyncio.run(publish(port, range(10_000), expected))
    kafka.stop(signal.SIGKILL)
    asyncio.run(publish(port, range(10_000, 15_000), expected))
    kafka.start()
    asyncio.run(publish(port, range(15_000, 25_000), expected))
    kafka.stop(signal.SIGTERM)
    kafka.start()
    asyncio.run(publish(port, range(25_000, 30_000), expected))

    for name, topic in topics.items():
        read_back(f"kafka {name}", [server], topic, expected)
    adapter.send_signal(signal.SIGTERM)
    assert adapter.wait(60) == 0, "the adapter did not end well"


def read_back(name, servers, topic, expected):
    """Every message is in the topic, once, with every field as it should be."""
    from kafka import KafkaConsumer, TopicPartition
    from kafka.partitioner.default import murmur2

    consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, consumer_timeout_ms=3000)
    parts = [TopicPartition(topic, number) for number in range(3)]
    wait_for(f"{topic}", lambda: sum(consumer.end_offsets(parts).values()) >= len(expected))
    time.sleep(2)
    consumer.assign(parts)
    consumer.seek_to_beginning(*parts)
    seen = {}
    for record in consumer:
        got = json.loads(record.value)
        output, when = expected[got["requestid"]]
        assert got == output, (got, output)
        assert list(got) == list(output), got
        assert record.key.decode() == output["sender"], record
        assert record.timestamp == when * 1000, record
        headers = [("requestid", output["requestid"].encode()), ("collective", b"mcollective")]
        assert record.headers == headers, record.headers
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % 3, record
        seen[got["requestid"]] = seen.get(got["requestid"], 0) + 1
    consumer.close()
    missing, twice = len(expected) - len(seen), sum(count > 1 for count in seen.values())
    print(f"{name}: {len(expected)} published, {sum(seen.values())} read, {missing} missing, {twice} twice")
    assert missing == 0 and twice == 0, "see the logs"


def wrong_logins(choria, folder, kafka):
    """A check says which side of a login is wrong."""
    (folder / "wrong.password").write_text("no\n")
    keys = {"type": "kafka", "ingest.topic": "x", "kafka.servers": f"127.0.0.1:{kafka.secure}", "kafka.topic": "t",
            "kafka.ca": kafka.ca, "kafka.user": "ann", "kafka.password_file": folder / "wrong.password"}
    other = folder / "other-ca"
    other.mkdir()
    _, foreign = certificates(other)
    for change, words in [
        ({"kafka.sasl": "plain"}, "user or password is wrong"),
        ({"kafka.sasl": "scram-sha-256"}, "user or password is wrong"),
        ({"kafka.ca": foreign, "kafka.sasl": "plain"}, "certificate refused"),
        ({"kafka.tls": "no"}, "127.0.0.1"),
        ({"kafka.servers": "127.0.0.1:1"}, "connection refused"),
        ({"kafka.sasl": "scram-sha-256", "kafka.password_file": folder / "scram.password"}, "does not exist: create"),
    ]:
        lines = [f"plugin.choria.adapter.a.{key} = {value}" for key, value in (keys | change).items()]
        text = (folder / "adapt.conf").read_text().splitlines()[:3] + ["plugin.choria.adapters = a"] + lines
        (folder / "wrong.conf").write_text("\n".join(text) + "\n")
        done = subprocess.run([choria, "--disable-tls", "adapt", "--check", folder / "wrong.conf"],
                              capture_output=True, text=True)
        assert done.returncode == 1 and words in done.stdout + done.stderr, (change, done)
