"""A data adapter against three brokers of Apache Kafka, one of which is killed."""

import asyncio
import base64
import signal
import uuid

from sinks_kafka import read_back
from sinks_network import free_port, listens, publish, run, start, start_network, wait_for


class Member:
    """One of three brokers, each of which is a controller as well."""

    def __init__(self, number, folder, classes, controllers, cluster):
        self.number, self.folder, self.classes, self.port = number, folder, classes, free_port()
        voters = ",".join(f"{index}@127.0.0.1:{port}" for index, port in enumerate(controllers, 1))
        self.settings = folder / f"server-{number}.properties"
        self.settings.write_text(f"""process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controllers[number - 1]}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data-{number}
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
auto.create.topics.enable=false
""")
        run(["java", "-Xmx128m", "-cp", classes, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", self.settings])

    def start(self):
        command = ["java", "-Xmx256m", "-cp", self.classes, "kafka.Kafka", self.settings]
        self.process = start(f"kafka-{self.number}", command, self.folder)

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait(60)


def test_cluster(choria, peers, folder):
    """The leader of a partition is killed under load and comes back; another one is started anew in peace."""
    from kafka.admin import KafkaAdminClient, NewTopic
    from kafka.errors import KafkaError

    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    controllers = [free_port() for _ in range(3)]
    members = [Member(number, folder, f"{peers}/kafka/lib/*", controllers, cluster) for number in (1, 2, 3)]
    for member in members:
        member.start()
    servers = [f"127.0.0.1:{member.port}" for member in members]
    for member in members:
        wait_for("Kafka", lambda: listens(member.port), 300)
    topic = "cluster.registration"

    def ask(question):
        """What the cluster answers, or nothing as long as it cannot."""
        try:
            admin = KafkaAdminClient(bootstrap_servers=servers)
        except KafkaError:
            return None
        try:
            return question(admin)
        except KafkaError:
            return None
        finally:
            admin.close()

    def partitions():
        return ask(lambda admin: admin.describe_topics([topic])[0]["partitions"]) or []

    def whole():
        return [len(part["isr_nodes"]) for part in partitions()] == [3, 3, 3]

    wait_for("the topic", lambda: ask(lambda admin: admin.create_topics([NewTopic(topic, 3, 3)])) or partitions(), 120)
    wait_for("replicas", whole, 120)
    keys = {"type": "kafka", "kafka.servers": ", ".join(servers), "kafka.tls": "no", "kafka.topic": "cluster.{agent}",
            "kafka.compression": "snappy", "kafka.headers": "requestid={request_id}, collective={collective}"}
    port, adapter = start_network(choria, folder, {"cluster": keys})
    expected = {}
    asyncio.run(publish(port, range(10_000), expected))
    leader = wait_for("a leader", partitions)[0]["leader_id"]
    killed = members[leader - 1]

    async def kill_under_load():
        publishing = asyncio.create_task(publish(port, range(10_000, 20_000), expected))
        await asyncio.sleep(0.5)
        killed.process.kill()
        await publishing

    asyncio.run(kill_under_load())
    killed.process.wait(60)

    def has_moved():
        leaders = [part["leader_id"] for part in partitions()]
        return len(leaders) == 3 and not {-1, leader} & set(leaders)

    wait_for("other leaders", has_moved, 120)
    asyncio.run(publish(port, range(20_000, 25_000), expected))
    killed.start()
    asyncio.run(publish(port, range(25_000, 30_000), expected))
    wait_for("replicas after the return", whole)
    other = members[leader % 3]
    other.stop(signal.SIGTERM)
    asyncio.run(publish(port, range(30_000, 35_000), expected))
    other.start()
    wait_for("replicas after the restart", whole)
    asyncio.run(publish(port, range(35_000, 40_000), expected))
    read_back(f"kafka with three brokers, number {leader} killed", servers, topic, expected)
    adapter.send_signal(signal.SIGTERM)
    assert adapter.wait(60) == 0, "the adapter did not end well"
