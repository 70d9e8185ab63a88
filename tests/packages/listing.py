"""Lists the tree of a .deb, from standard input, as lines of mode and path. Folders that are not ours are left out."""

import sys
import tarfile

lines = []
for member in tarfile.open(fileobj=sys.stdin.buffer, mode="r|"):
    path = member.name.lstrip(".")
    if (member.uid, member.gid) != (0, 0):
        sys.exit(f"{path} belongs to {member.uid}:{member.gid}")
    if not member.isdir() or "choria" in path:
        lines.append(f"{member.mode:04o} {path}")
print("\n".join(sorted(lines)))
