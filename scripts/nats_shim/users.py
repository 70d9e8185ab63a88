"""Logins, permissions and accounts of nats-server to the users file of the broker."""

from .block import Block, Unmapped
from .values import words

# Everybody may come in under this name, without password and certificate.
NOBODY = "nobody"


def document(top, flags, has_tls):
    """The users file as a dictionary; none when everybody may do everything anyway."""
    authorization = top.block("authorization") or Block("authorization", {})
    made = {"accounts": {}, "users": []}
    logins = list(flag_logins(flags))
    # The command line replaces what a file says about users.
    made["users"] = list(users(authorization, None)) if not logins else logins
    if logins:
        authorization.settings.clear()
    set_defaults(authorization, made)
    authorization.done()
    for name, account in sorted((top.take("accounts") or {}).items()):
        add_account(Block(f"accounts.{name}", account), name, made)
    no_auth_user = top.take("no_auth_user")
    system = top.take("system_account")
    if system is not None and system not in made["accounts"]:
        top.refuse("system_account", f"there is no account {system}")
    elif system is not None:
        made["system_account"] = system
    if no_auth_user is not None:
        made["no_auth_user"] = no_auth_user
    elif not made["users"]:
        if not has_tls:
            return None
        made["users"].append({"user": NOBODY})
        made["no_auth_user"] = NOBODY
    for user in made["users"]:
        user["certificate"] = "optional"
    # A certificate alone is no login at nats-server.
    made["login_required"] = True
    return made


def flag_logins(flags):
    if "user" in flags or "pass" in flags:
        yield {"user": flags.get("user", ""), "password": flags.get("pass", "")}
    if "token" in flags:
        yield {"token": flags["token"]}


def add_account(block, name, made):
    made["accounts"][name] = {}
    set_defaults(block, made["accounts"][name])
    made["users"] += users(block, name)
    for key in ("exports", "imports", "mappings", "jetstream", "limits", "nkey"):
        if block.take(key) not in (None, [], {}, "disabled"):
            block.refuse(key, "the broker has no such feature")
    block.done()


def set_defaults(block, target):
    rules = block.block("default_permissions")
    if rules is not None:
        target["default_permissions"] = permissions(rules)


def users(block, account):
    """The users of an `authorization` block or an account."""
    names = ("user", "username", "pass", "password", "token")
    single = {key: block.take(key) for key in names if key in block.settings}
    if single:
        yield user(Block(block.path, single), account)
    for index, entry in enumerate(block.take("users", default=[]), 1):
        yield user(Block(f"{block.name('users')}[{index}]", entry), account)


def user(block, account):
    made = {}
    for ours, theirs in (("user", ("user", "username")), ("password", ("pass", "password")), ("token", ("token",))):
        value = block.take(*theirs)
        if value is not None:
            made[ours] = str(value)
    if block.take("nkey") is not None:
        raise Unmapped(f"{block.name('nkey')}: the broker has no logins by NATS keys")
    if made.get("password", "").startswith("$2"):
        raise Unmapped(f"{block.name('password')}: the broker has no hashed passwords")
    if account is not None:
        made["account"] = account
    rules = block.block("permissions") or block.block("permission")
    if rules is not None:
        made["permissions"] = permissions(rules)
    types = block.take("allowed_connection_types")
    if types is not None:
        made["connection_types"] = [word.upper() for word in words(types)]
    block.done()
    return made


def permissions(block):
    made = {}
    for ours, *theirs in (("publish", "publish", "pub", "export"), ("subscribe", "subscribe", "sub", "import")):
        value = block.take(*theirs)
        if value is not None:
            made[ours] = subjects(block.name(ours), value)
    answers = block.take("allow_responses", "allow_response")
    if isinstance(answers, dict):
        limits = Block(block.name("allow_responses"), answers)
        made["allow_responses"] = responses(limits)
    elif answers:
        made["allow_responses"] = {}
    block.done()
    return made


def responses(block):
    made = {}
    count, expires = block.take("max", "max_msgs", "max_messages"), block.take("expires", "expiration", "ttl")
    if count:
        made["max"] = int(count)
    if expires:
        text = str(expires)
        made["expires"] = "never" if text.startswith("-") else f"{text}s" if text.isdigit() else text
    block.done()
    return made


def subjects(name, value):
    """A subject, a list of them, or a map of allowed and denied ones."""
    if not isinstance(value, dict):
        return {"allow": words(value)}
    block, made = Block(name, value), {}
    for key in ("allow", "deny"):
        listed = block.take(key)
        if listed is not None:
            made[key] = words(listed)
    block.done()
    return made
