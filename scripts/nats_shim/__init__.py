"""nats-server's configuration turned into that of `choria broker`."""
