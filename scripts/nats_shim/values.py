"""Values as nats-server writes them, to values as the broker writes them."""

from .block import Unmapped

DEFAULT_HOST = "0.0.0.0"


def duration(name, value):
    """Numbers are seconds; texts are those of Go, which the broker reads as well."""
    if isinstance(value, bool):
        raise Unmapped(f"{name}: {value!r} is not a duration")
    return f"{int(value * 1000)}ms" if isinstance(value, (int, float)) else value


def port(name, value):
    """-1 is a port the system chooses, which is 0 for the broker."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise Unmapped(f"{name}: {value!r} is not a port") from None
    return max(number, 0)


def host_port(name, value, host=DEFAULT_HOST):
    """`4222`, `host:4222`, `nats://host:4222` or `[::1]:4222` as a host and a port."""
    if isinstance(value, int):
        return host, port(name, value)
    text = str(value).split("://", 1)[-1].rsplit("@", 1)[-1]
    left, colon, right = text.rpartition(":")
    if not colon:
        return (host, port(name, text)) if text.lstrip("-").isdigit() else (text, None)
    return left.strip("[]") or host, port(name, right)


def user_info(value):
    """User and password of `nats://user:password@host:port`; nothing when there are none."""
    left, at, _ = str(value).split("://", 1)[-1].rpartition("@")
    user, _, password = left.partition(":")
    return (user, password) if at else None


def words(value):
    """A list of texts; one text is a list of one."""
    return [str(word) for word in value] if isinstance(value, list) else [str(value)]
