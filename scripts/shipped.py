"""What the static program is made of: the crates that cargo builds into it, and what the toolchain adds.

Read by scripts/bill-of-materials and scripts/third-party."""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGETS = ("x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl")


def target_of(arguments):
    """The target that a script was called with."""
    if len(arguments) > 2 or arguments[1:2] and arguments[1] not in TARGETS:
        sys.exit(f"usage: {pathlib.Path(arguments[0]).name} [{' | '.join(TARGETS)}]")
    return arguments[1] if arguments[1:] else TARGETS[0]


class Crate:
    """One crate of the dependency tree."""

    def __init__(self, package, checksum, is_shipped, needs):
        self.name, self.version = package["name"], package["version"]
        self.description = package["description"]
        # The older way to write a choice.
        self.license = (package["license"] or "").replace("/", " OR ")
        self.license_file = package["license_file"]
        self.folder = pathlib.Path(package["manifest_path"]).parent
        self.checksum = checksum
        # False for what only runs while the program is built.
        self.is_shipped = is_shipped
        self.needs = needs

    @property
    def purl(self):
        return f"pkg:cargo/{self.name}@{self.version}"

    def license_texts(self):
        """The files that a crate has about its licence, those of code it contains included."""
        name = re.compile(r"(licen[cs]e|copying|notice|unlicense|copyright|authors)", re.IGNORECASE)
        found = {path for path in self.folder.iterdir() if path.is_file() and name.match(path.name)}
        for path in self.folder.glob("LICENSES/*"):
            found.add(path)
        if self.license_file:
            found.add(self.folder / self.license_file)
        return sorted(path for path in found if path.suffix != ".rs")


def crates(target):
    """The program's own package, and all crates that go into it or build it, by name."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    data = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    root = data["resolve"]["root"]

    def needed_by(identifier):
        return [
            dependency["pkg"]
            for dependency in nodes[identifier]["deps"]
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
        ]

    # `cargo metadata` has more: what only tests switch on.
    everything, shipped = tree(target, "normal,build"), tree(target, "normal,no-proc-macro")
    key = lambda identifier: (packages[identifier]["name"], packages[identifier]["version"])
    kept = [identifier for identifier in packages if key(identifier) in everything]
    checksums = checksums_of_lock()
    made = {
        identifier: Crate(
            packages[identifier],
            checksums.get(key(identifier)),
            key(identifier) in shipped,
            [key(need) for need in needed_by(identifier) if key(need) in everything],
        )
        for identifier in kept
    }
    own = made.pop(root)
    return own, sorted(made.values(), key=lambda crate: (crate.name, crate.version))


def tree(target, edges):
    """Name and version of what a build for the target takes along these edges."""
    command = ["cargo", "tree", "--locked", "--target", target, "--edges", edges, "--prefix", "none"]
    lines = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return {(words[0], words[1].removeprefix("v")) for words in map(str.split, lines) if len(words) > 1}


def checksums_of_lock():
    """SHA-256 of each crate's archive, by name and version."""
    text = (ROOT / "Cargo.lock").read_text()
    field = lambda block, name: (re.search(rf'^{name} = "([^"]*)"', block, re.MULTILINE) or [None, None])[1]
    blocks = text.split("[[package]]")[1:]
    return {(field(block, "name"), field(block, "version")): field(block, "checksum") for block in blocks}


class Runtime:
    """What is in the program without being a crate."""

    def __init__(self, name, version, license, texts):
        self.name, self.version, self.license, self.texts = name, version, license, texts


def runtimes(target):
    """Standard library, C library and unwinder, all of them from the toolchain; the texts of their licences are where the
    toolchain and scripts/build-static put them."""
    ask = lambda *words: subprocess.run(["rustc", *words], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    version = ask("--version").split()[1]
    libraries = pathlib.Path(ask("--print", "target-libdir", "--target", target))
    c_version = re.search(rb"\0(1\.\d+\.\d+)\0", (libraries / "self-contained/libc.a").read_bytes())
    texts = pathlib.Path(ask("--print", "sysroot")) / "share/doc/rust/licenses"
    zig = next((ROOT / "target/static/venv").glob("lib/python*/site-packages/ziglang/lib"))
    return [
        Runtime("rust-std", version, "MIT OR Apache-2.0", [texts / "MIT.txt", texts / "Apache-2.0.txt"]),
        Runtime("musl", c_version[1].decode(), "MIT", [zig / "libc/musl/COPYRIGHT"]),
        Runtime("libunwind", version, "Apache-2.0 WITH LLVM-exception", [zig / "libunwind/LICENSE.TXT"]),
    ]
