"""A nats-py client whose `flush` means what its name says."""


def settled(client):
    """Makes `flush` of a client wait until the broker has handled everything before it.

    The client writes its PING at once and what was asked for before it a moment later, so the first answer tells that
    this was written, and only the second one that the broker has seen it.
    """
    flush = client.flush

    async def flush_twice(*arguments, **options):
        await flush(*arguments, **options)
        await flush(*arguments, **options)

    client.flush = flush_twice
    return client
