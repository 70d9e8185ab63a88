"""Logins and accounts of nats-server to the users file of the broker."""

from .block import Block, Unmapped
from .values import words

# The account of those who name none.
GLOBAL = "$G"


def document(top, flags):
    """The users file as a dictionary; none when everybody may do everything."""
    authorization = top.block("authorization")
    accounts = top.block("accounts")
    no_auth_user = top.take("no_auth_user")
    system = top.take("system_account")
    logins = list(flag_logins(flags))
    if authorization is not None and not logins:
        logins += block_logins(authorization)
    if authorization is not None:
        authorization.settings.clear()
    found = {GLOBAL: logins}
    for name in list(accounts.settings) if accounts else []:
        raise Unmapped("accounts: not mapped yet")
    if not logins:
        return None
    raise Unmapped("authorization: not mapped yet")


def flag_logins(flags):
    if "user" in flags or "pass" in flags:
        yield {"user": flags.get("user", ""), "password": flags.get("pass", "")}
    if "token" in flags:
        yield {"token": flags["token"]}


def block_logins(block):
    return []
