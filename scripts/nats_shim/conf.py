"""Reads configuration files of nats-server: JSON with fewer quotes, comments, variables and includes."""

import os
import re

# Longest chain of files that include each other.
INCLUDE_DEPTH_MAX = 16
SIZE = re.compile(r"^([-+]?\d+)(?:([kmgt])(i?b?)|b)?$", re.IGNORECASE)
POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")


class ConfError(Exception):
    """The file cannot be read as a nats-server configuration."""


def load(path):
    """The settings of a file as nested dictionaries, lists, strings, numbers and booleans, and the names of those that
    were used as variables."""
    used = set()
    return _file(path, [], 0, used), used


def _file(path, scopes, depth, used):
    if depth > INCLUDE_DEPTH_MAX:
        raise ConfError(f"{path}: too many files include each other")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise ConfError(f"{path}: {error.strerror}") from error
    return _Parser(text, path, scopes, depth, used).document()


class _Parser:
    def __init__(self, text, path, scopes, depth, used):
        self.text, self.path, self.scopes, self.depth, self.used = text, path, scopes, depth, used
        self.at = 0

    def fail(self, what):
        line = self.text.count("\n", 0, self.at) + 1
        raise ConfError(f"{self.path}:{line}: {what}")

    def peek(self):
        return self.text[self.at : self.at + 1]

    def skip(self, also=""):
        """Passes blanks, line ends, comments and the characters in `also`."""
        while char := self.peek():
            if char == "#" or self.text.startswith("//", self.at):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif char.isspace() or char in also:
                self.at += 1
            else:
                return

    def document(self):
        self.skip()
        if self.peek() == "{":
            self.at += 1
            return self.map("}")
        return self.map("")

    def map(self, end):
        found = {}
        self.scopes.append(found)
        while True:
            self.skip(also=",;")
            if self.peek() == end:
                self.at += 1
                self.scopes.pop()
                return found
            if not self.peek():
                self.fail("a map is not closed")
            quoted = self.peek() in "\"'"
            key = self.quoted() if quoted else self.word(r"[^\s:={}\[\],;]+")
            if not quoted and key.lower() == "include":
                self.skip()
                name = self.quoted() if self.peek() in "\"'" else self.word(r"[^\s;}]+")
                path = os.path.join(os.path.dirname(self.path), name)
                found.update(_file(path, self.scopes, self.depth + 1, self.used))
                continue
            self.skip()
            if self.peek() in ("=", ":"):
                self.at += 1
                self.skip()
            found[key] = self.value()

    def list(self):
        found = []
        while True:
            self.skip(also=",;")
            if self.peek() == "]":
                self.at += 1
                return found
            if not self.peek():
                self.fail("a list is not closed")
            found.append(self.value())

    def word(self, pattern):
        match = re.compile(pattern).match(self.text, self.at)
        if not match:
            self.fail(f"did not expect {self.peek()!r}")
        self.at = match.end()
        return match.group()

    def quoted(self):
        quote = self.peek()
        self.at += 1
        out = []
        while (char := self.peek()) != quote:
            if not char:
                self.fail("a text is not closed")
            self.at += 1
            if char == "\\" and quote == '"':
                char = self.escape()
            out.append(char)
        self.at += 1
        return "".join(out)

    def escape(self):
        char = self.peek()
        self.at += 1
        if char == "x":
            return chr(int(self.word(r"[0-9a-fA-F]{2}"), 16))
        if char == "u":
            return chr(int(self.word(r"[0-9a-fA-F]{4}"), 16))
        return {"n": "\n", "t": "\t", "r": "\r"}.get(char, char)

    def block(self):
        """Lines up to one that is a closing parenthesis."""
        match = re.compile(r"\((.*?)^\s*\)\s*$", re.DOTALL | re.MULTILINE).match(self.text, self.at)
        if not match:
            self.fail("a block of text is not closed")
        self.at = match.end()
        return match.group(1)

    def value(self):
        char = self.peek()
        if char == "{":
            self.at += 1
            return self.map("}")
        if char == "[":
            self.at += 1
            return self.list()
        if char == "(":
            return self.block()
        if char and char in "\"'":
            return self.quoted()
        return self.bare(self.word(r"[^\s,;{}\[\]]+"))

    def bare(self, word):
        if word.startswith("$") and not re.match(r"^\$2[abxy]\$", word):
            return self.variable(word[1:])
        if word.lower() in TRUE + FALSE:
            return word.lower() in TRUE
        if match := SIZE.match(word):
            unit = (match.group(2) or "").lower()
            base = 1024 if match.group(3) else 1000
            return int(match.group(1)) * (base ** POWERS[unit] if unit else 1)
        if re.match(r"^[-+]?\d+\.\d+$", word):
            return float(word)
        return word

    def variable(self, name):
        for scope in reversed(self.scopes):
            if name in scope:
                self.used.add(name.lower())
                return scope[name]
        if name not in os.environ:
            self.fail(f"variable ${name} is not set")
        return self.bare(os.environ[name])
