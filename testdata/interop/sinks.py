"""Data adapters against Apache Kafka and against kinesalite: what is published is read back with clients of others.

usage: sinks.py kafka|kinesis CHORIA PEERS FOLDER
CHORIA is the program, PEERS the folder of scripts/test-sinks, FOLDER an empty one for files of this run.
Prints what was found, and ends with 0 when all of it is as it should be.
"""

import asyncio
import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

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


# Kafka


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
    from kafka import KafkaConsumer, TopicPartition
    from kafka.admin import KafkaAdminClient, NewTopic
    from kafka.partitioner.default import murmur2

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
        consumer = KafkaConsumer(bootstrap_servers=server, enable_auto_commit=False, consumer_timeout_ms=3000)
        parts = [TopicPartition(topic, number) for number in range(3)]
        wait_for(f"{topic}", lambda: sum(consumer.end_offsets(parts).values()) >= len(expected))
        time.sleep(2)
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        seen, batches = {}, 0
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
            batches += 1
        consumer.close()
        missing, twice = len(expected) - len(seen), sum(count > 1 for count in seen.values())
        print(f"kafka {name}: {len(expected)} published, {batches} read, {missing} missing, {twice} twice")
        assert missing == 0 and twice == 0, "see the logs"
    adapter.send_signal(signal.SIGTERM)
    assert adapter.wait(60) == 0, "the adapter did not end well"


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


# Kinesis


def test_kinesis(choria, peers, folder):
    import boto3

    port = free_port()
    program = f"{peers}/node_modules/kinesalite/cli.js"
    start("kinesalite", ["node", program, "--port", str(port), "--createStreamMs", "50"], folder)
    wait_for("kinesalite", lambda: listens(port), 60)
    url = f"http://127.0.0.1:{port}"
    environment = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    client = boto3.client("kinesis", region_name="eu-west-1", endpoint_url=url, aws_access_key_id="AKIDEXAMPLE",
                          aws_secret_access_key="secret")
    client.create_stream(StreamName="nodes", ShardCount=3)
    wait_for("the stream", lambda: client.describe_stream(StreamName="nodes")["StreamDescription"]["StreamStatus"]
             == "ACTIVE", 60)
    keys = {"type": "kinesis", "kinesis.region": "eu-west-1", "kinesis.endpoint": url, "kinesis.insecure": "yes",
            "kinesis.stream": "nodes"}
    broker, adapter = start_network(choria, folder, {"nodes": keys}, environment)
    expected = {}
    asyncio.run(publish(broker, range(5_000), expected))

    shards = client.describe_stream(StreamName="nodes")["StreamDescription"]["Shards"]
    seen = {}
    places = {
        shard["ShardId"]: client.get_shard_iterator(
            StreamName="nodes", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        for shard in shards
    }
    end = time.monotonic() + LIMIT
    while len(seen) < len(expected) and time.monotonic() < end:
        for shard in shards:
            answer = client.get_records(ShardIterator=places[shard["ShardId"]], Limit=1000)
            places[shard["ShardId"]] = answer["NextShardIterator"]
            for record in answer["Records"]:
                got = json.loads(record["Data"])
                output, _ = expected[got["requestid"]]
                assert got == output, (got, output)
                assert record["PartitionKey"] == output["sender"], record
                hashed = int.from_bytes(hashlib.md5(record["PartitionKey"].encode()).digest(), "big")
                bounds = shard["HashKeyRange"]
                assert int(bounds["StartingHashKey"]) <= hashed <= int(bounds["EndingHashKey"]), record
                seen[got["requestid"]] = seen.get(got["requestid"], 0) + 1
        time.sleep(0.2)
    missing, twice = len(expected) - len(seen), sum(count > 1 for count in seen.values())
    print(f"kinesis: {len(expected)} published, {sum(seen.values())} read of {len(shards)} shards, "
          f"{missing} missing, {twice} twice")
    assert missing == 0 and twice == 0, "see the logs"
    adapter.send_signal(signal.SIGTERM)
    assert adapter.wait(60) == 0, "the adapter did not end well"


def main():
    choria, peers, folder = (Path(path).absolute() for path in sys.argv[2:5])
    folder.mkdir(parents=True)
    try:
        {"kafka": test_kafka, "kinesis": test_kinesis}[sys.argv[1]](choria, peers, folder)
    except BaseException:
        for log in folder.glob("adapt.log"):
            print("".join(log.read_text().splitlines(keepends=True)[-20:]), file=sys.stderr)
        raise
    finally:
        for child in reversed(children):
            child.kill()
            child.wait()


main()
