"""Settings that must all be understood: what nobody took is refused by its name."""

import os

# Names of settings that may be left out although they would change something, like `leafnodes,jetstream`.
IGNORED = {name for name in os.environ.get("NATS_SHIM_IGNORE", "").lower().split(",") if name}


class Unmapped(Exception):
    """A setting that the broker has no counterpart for."""


class Block:
    """One map of a configuration; names are compared without case."""

    def __init__(self, path, settings):
        if not isinstance(settings, dict):
            raise Unmapped(f"{path or 'configuration'}: expected a map instead of {settings!r}")
        self.path, self.settings = path, {key.lower(): value for key, value in settings.items()}

    def name(self, key):
        return f"{self.path}.{key}" if self.path else key

    def take(self, *keys, default=None):
        """The value of the first of these names that is set."""
        found = [self.settings.pop(key) for key in keys if key in self.settings]
        return found[0] if found else default

    def block(self, key):
        """The map of that name; none when it is not set."""
        value = self.take(key)
        return None if value is None else Block(self.name(key), value)

    def refuse(self, key, why):
        if self.name(key).lower() not in IGNORED:
            raise Unmapped(f"{self.name(key)}: {why}")

    def done(self, *without_effect):
        """Refuses what is left, except for names that change nothing that a client could see."""
        for key in self.settings:
            if key not in without_effect:
                self.refuse(key, "the broker has no such setting")
