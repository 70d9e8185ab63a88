"""Runs a program as Linux 3.10 would: every system call that came later does not exist (ENOSYS).

usage: python3 linux_3_10.py PROGRAM [ARGUMENTS]

x86_64 only. What calls that existed do today is not taken back; see docs/platforms.md.
"""

import ctypes
import os
import struct
import sys

# finit_module, of Linux 3.8, was the last one; sched_setattr, of 3.14, is the next.
FIRST_LATER = 314
X86_64 = 0xC000003E
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, ERRNO_ENOSYS, KILL = 0x7FFF0000, 0x00050000 | 38, 0x80000000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2

FILTER = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in [
        (LOAD, 0, 0, 4),  # the architecture
        (EQUAL, 1, 0, X86_64),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),  # the number of the call
        (AT_LEAST, 0, 1, FIRST_LATER),
        (RETURN, 0, 0, ERRNO_ENOSYS),
        (RETURN, 0, 0, ALLOW),
    ]
)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(FILTER) // 8, FILTER)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "seccomp")
    os.execv(sys.argv[1], sys.argv[1:])


main()
