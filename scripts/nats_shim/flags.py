"""The command line of nats-server, in Go's flag syntax: `-x v`, `--x v`, `-x=v`."""


class FlagError(Exception):
    """The command line cannot be read."""


# Flag -> (name of the setting, takes a value).
FLAGS = {
    **dict.fromkeys(("p", "port"), ("port", True)),
    **dict.fromkeys(("a", "addr", "net"), ("host", True)),
    **dict.fromkeys(("m", "http_port"), ("http_port", True)),
    **dict.fromkeys(("n", "name", "server_name"), ("server_name", True)),
    **dict.fromkeys(("c", "config"), ("config", True)),
    **dict.fromkeys(("l", "log"), ("log_file", True)),
    **dict.fromkeys(("P", "pid"), ("pid_file", True)),
    **dict.fromkeys(("sl", "signal"), ("signal", True)),
    **dict.fromkeys(("sd", "store_dir"), ("store_dir", True)),
    **dict.fromkeys(("js", "jetstream"), ("jetstream", False)),
    **dict.fromkeys(("cluster", "cluster_listen"), ("cluster_listen", True)),
    **dict.fromkeys(("D", "debug", "DV", "DVV"), ("debug", False)),
    **dict.fromkeys(("V", "VV", "trace", "T", "logtime", "s", "syslog"), ("no_effect", False)),
    **dict.fromkeys(("r", "remote_syslog", "profile", "max_traced_msg_len"), ("no_effect", True)),
    **dict.fromkeys(("v", "version"), ("version", False)),
    **dict.fromkeys(("h", "help"), ("help", False)),
    "ports_file_dir": ("ports_file_dir", True),
    "client_advertise": ("client_advertise", True),
    "user": ("user", True),
    "pass": ("pass", True),
    "auth": ("token", True),
    "tls": ("tls", False),
    "tlsverify": ("tlsverify", False),
    "tlscert": ("tlscert", True),
    "tlskey": ("tlskey", True),
    "tlscacert": ("tlscacert", True),
    "cluster_name": ("cluster_name", True),
    "cluster_advertise": ("cluster_advertise", True),
    "no_advertise": ("no_advertise", False),
    "connect_retries": ("no_effect", True),
    "routes": ("routes", True),
}


def parse(words):
    """The settings that the command line names, each as text or True."""
    found = {}
    words = list(words)
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word in ("-", "--"):
            raise FlagError(f"unrecognized command: {word!r}")
        name, equals, value = word.lstrip("-").partition("=")
        if name not in FLAGS:
            raise FlagError(f"flag provided but not supported: -{name}")
        setting, takes_value = FLAGS[name]
        if not takes_value:
            value = not equals or value.lower() in ("1", "t", "true")
        elif not equals:
            if not words:
                raise FlagError(f"flag needs an argument: -{name}")
            value = words.pop(0)
        found[setting] = value
    return found
