"""A data adapter against kinesalite."""

import asyncio
import hashlib
import json
import signal
import time

from sinks_network import LIMIT, free_port, listens, publish, start, start_network, wait_for


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
