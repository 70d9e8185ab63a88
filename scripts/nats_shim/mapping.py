"""Settings of nats-server to the configuration keys of `choria broker`."""

import os
import socket

from . import users
from .block import Block, Unmapped
from .values import DEFAULT_HOST, duration, host_port, port, user_info, words

NETWORK = "plugin.choria.network."
# Clients see no difference with or without these.
WITHOUT_EFFECT = (
    "server_tags", "trace", "logtime", "trace_verbose", "connect_error_reports", "reconnect_error_reports",
    "max_traced_msg_len", "prof_port", "disable_sublist_cache", "store_dir", "no_effect", "log_size_limit",
    "logfile_size_limit", "syslog",
)  # fmt: skip


class Plan:
    """How the broker is started."""

    def __init__(self):
        self.keys = {
            "plugin.choria.broker_network": "true",
            "plugin.choria.log_format": "nats",
            "plugin.choria.use_srv": "no",
        }
        self.users = None
        self.arguments = []
        self.no_tls = True

    def network(self, key, value):
        if value is not None:
            self.keys[NETWORK + key] = str(value).lower() if isinstance(value, bool) else str(value)


def free_port(host):
    """A port that nobody listens on, for listeners whose port 0 means off in our configuration."""
    with socket.socket() as probe:
        probe.bind((host if host != "localhost" else "127.0.0.1", 0))
        return probe.getsockname()[1]


def plan(conf, variables, flags, pid):
    """The plan for a configuration file, of which some names are variables, and the flags, which win."""
    top = Block("", {**conf, **{key: value for key, value in flags.items() if key not in SPECIAL}})
    made = Plan()
    listen(top, flags, made)
    process(top, made, pid)
    limits(top, made)
    tls(top, flags, made)
    cluster(top, flags, made)
    websocket(top, made)
    authorization_timeout(top, made)
    made.users = users.document(top, flags, not made.no_tls)
    jetstream = top.take("jetstream")
    if jetstream not in (None, False, "disabled"):
        top.refuse("jetstream", "streams are not served")
    for key in ("leafnodes", "gateway", "mqtt", "operator", "resolver", "resolver_preload", "mappings"):
        if top.take(key) is not None:
            top.refuse(key, "the broker has no such feature")
    top.done(*WITHOUT_EFFECT, *variables)
    return made


# Flags that are more than a top setting by another name.
SPECIAL = (
    "user", "pass", "token", "tls", "tlsverify", "tlscert", "tlskey", "tlscacert", "cluster_listen", "cluster_name",
    "cluster_advertise", "no_advertise", "routes", "config", "version", "help", "signal",
)  # fmt: skip


def listen(top, flags, made):
    host, number = host_port("listen", top.take("listen", default=DEFAULT_HOST))
    host = top.take("host", "net", default=host)
    configured = top.take("port", default=number)
    # nats-server takes 0 for a port that is not set.
    number = port("port", configured) if configured not in (None, 0, "0") else 4222
    made.host = host
    made.network("listen_address", host)
    made.network("client_port", number)
    advertise = top.take("client_advertise")
    if advertise is not None:
        name, public = host_port("client_advertise", advertise)
        made.network("public_url", f"{name}:{public or number}")
    elif number:
        made.network("public_url", f"{host}:{number}")
    http(top, made)


def http(top, made):
    address = top.take("http", "monitor")
    number = top.take("http_port", "monitor_port")
    if top.take("https", "https_port") is not None:
        top.refuse("https", "monitoring has no TLS")
    if address is None and number is None:
        return
    host, given = host_port("http", address if number is None else number, made.host)
    made.keys["plugin.choria.stats_address"] = host
    made.keys["plugin.choria.stats_port"] = str(given or free_port(host))


def process(top, made, pid):
    made.keys["identity"] = top.take("server_name", "name", default=f"nats-server-{pid}")
    made.keys["logfile"] = top.take("log_file", "logfile", default="stderr")
    made.keys["loglevel"] = "debug" if top.take("debug") else "info"
    pid_file = top.take("pid_file", "pidfile")
    if pid_file is not None:
        made.arguments += ["--pid", pid_file]
    folder = top.take("ports_file_dir")
    if folder is not None:
        made.arguments += ["--ports-file", os.path.join(folder, f"nats-server_{pid}.ports")]


def limits(top, made):
    for ours, *theirs in (
        ("max_payload", "max_payload"),
        ("max_control_line", "max_control_line"),
        ("max_pending", "max_pending"),
        ("max_connections", "max_connections", "max_conn"),
        ("max_subscriptions", "max_subscriptions", "max_subs"),
        ("ping_max", "ping_max", "max_pings_out"),
    ):
        value = top.take(*theirs)
        # Without limit is not more than ours, which nobody reaches.
        made.network(ours, value if value not in (0, -1) else None)
    for ours, theirs in (
        ("ping_interval", "ping_interval"),
        ("write_deadline", "write_deadline"),
        ("lame_duck_duration", "lame_duck_duration"),
        ("lame_duck_grace", "lame_duck_grace_period"),
    ):
        value = top.take(theirs)
        made.network(ours, None if value is None else duration(theirs, value))


def authorization_timeout(top, made):
    authorization = top.settings.get("authorization")
    value = authorization.pop("timeout", None) if isinstance(authorization, dict) else None
    made.network("auth_timeout", None if value is None else duration("authorization.timeout", value))


def tls(top, flags, made):
    block = top.block("tls")
    if flags.get("tls") or flags.get("tlsverify") or flags.get("tlscert"):
        given = {} if block is None else block.settings
        given |= {"verify": bool(flags.get("tlsverify"))}
        for flag, key in (("tlscert", "cert_file"), ("tlskey", "key_file"), ("tlscacert", "ca_file")):
            given |= {key: flags[flag]} if flag in flags else {}
        block = Block("tls", given)
    if block is None:
        return
    made.no_tls = False
    made.keys["plugin.security.provider"] = "file"
    for ours, theirs in (("certificate", "cert_file"), ("key", "key_file"), ("ca", "ca_file")):
        value = block.take(theirs)
        if value is not None:
            made.keys["plugin.security.file." + ours] = os.path.abspath(value)
    timeout = block.take("timeout")
    made.network("tls_timeout", None if timeout is None else duration("tls.timeout", timeout))
    # Nobody is verified without a CA, but the broker wants one all the same.
    made.keys.setdefault("plugin.security.file.ca", made.keys["plugin.security.file.certificate"])
    if block.take("verify_and_map"):
        block.refuse("verify_and_map", "certificates are not mapped to users")
    made.network("tls_verify", bool(block.take("verify")))
    made.network("tls_handshake_first", handshake_first(block.take("handshake_first", default=False)))
    block.done("cipher_suites", "curve_preferences", "connection_rate_limit")


def handshake_first(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "auto" if value == "auto" else duration("tls.handshake_first", value)


def cluster(top, flags, made):
    given = dict(top.take("cluster", default={}))
    names = {
        "cluster_listen": "listen",
        "cluster_name": "name",
        "cluster_advertise": "advertise",
        "no_advertise": "no_advertise",
    }
    given |= {names[flag]: flags[flag] for flag in names if flag in flags}
    if "routes" in flags:
        given["routes"] = [route for route in flags["routes"].split(",") if route]
    if not given:
        return
    block = Block("cluster", given)
    name = block.take("name")
    made.network("gateway_name", name)
    host, number = host_port("cluster.listen", block.take("listen", default=made.host))
    host = block.take("host", "net", default=host)
    number = block.take("port", default=number)
    number = port("cluster.port", number) if number is not None else None
    made.network("peer_port", number or free_port(host))
    routes = words(block.take("routes", default=[]))
    if routes:
        made.network("peers", ",".join(f"nats://{join(*host_port('routes', route))}" for route in routes))
    route_login(block, routes, made)
    made.network("peer_advertise", block.take("advertise"))
    made.network("advertise_peers", "no" if block.take("no_advertise", default=False) else "yes")
    made.network("peer_tls", "yes" if block.take("tls") is not None else "no")
    block.done("pool_size", "compression", "connect_retries", "ping_interval", "write_deadline")


def join(host, number):
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"


def route_login(block, routes, made):
    login = next((user for user in map(user_info, routes) if user), None)
    authorization = block.block("authorization")
    if authorization is not None:
        login = (authorization.take("user", "username"), authorization.take("pass", "password"))
        authorization.done("timeout")
    if login:
        made.network("peer_user", login[0])
        made.network("peer_password", login[1])


def websocket(top, made):
    block = top.block("websocket")
    if block is None:
        return
    host, number = host_port("websocket.listen", block.take("listen", default=made.host))
    block.take("host", "net")
    number = port("websocket.port", block.take("port", default=number))
    made.network("websocket_port", number or free_port(host))
    made.network("websocket_advertise", block.take("advertise"))
    if block.take("tls") is not None:
        block.refuse("tls", "TLS of web sockets is that of the client port")
    block.done("no_tls", "compression", "handshake_timeout")
