"""What a warm decoder may still ask of the Linux kernel; everything else is refused (seccomp, EPERM).

No file is opened, no process started, no address connected to, no other process touched: the picture comes, and its
pixels go, as memory over a socket that is there already. The tables are of x86-64 and of AArch64.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

_NUMBERS = {
    "x86_64": {
        "read": 0, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
        "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "pwrite64": 18, "sched_yield": 24,
        "mremap": 25, "madvise": 28, "sendmsg": 46, "recvmsg": 47, "exit": 60, "fcntl": 72, "futex": 202,
        "restart_syscall": 219, "clock_gettime": 228, "exit_group": 231, "prlimit64": 302, "getrandom": 318,
        "memfd_create": 319,
    },
    "aarch64": {
        "read": 63, "close": 57, "fstat": 80, "lseek": 62, "mmap": 222, "mprotect": 226, "munmap": 215, "brk": 214,
        "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "pread64": 67, "pwrite64": 68,
        "sched_yield": 124, "mremap": 216, "madvise": 233, "sendmsg": 211, "recvmsg": 212, "exit": 93, "fcntl": 25,
        "futex": 98, "restart_syscall": 128, "clock_gettime": 113, "exit_group": 94, "prlimit64": 261,
        "getrandom": 278, "memfd_create": 279,
    },
}  # fmt: skip

_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_… of linux/audit.h: numbers mean something else on another one."""

# linux/bpf_common.h, linux/seccomp.h, linux/prctl.h
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_KILL, _REFUSE, _ALLOW = 0x80000000, 0x00050000 | errno.EPERM, 0x7FFF0000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2


def _program(machine: str) -> bytes:
    """The filter in the kernel's words: 8 bytes an instruction, jumps are relative to the next one."""
    numbers = dict(_NUMBERS[machine])
    of_itself = numbers.pop("prlimit64")  # allowed for the process itself (0) only
    allowed = sorted(numbers.values())
    lines: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IF_EQUAL, 1, 0, _ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for place, number in enumerate(allowed):
        lines.append((_IF_EQUAL, len(allowed) - place + 3, 0, number))  # to the last line
    lines += [
        (_IF_EQUAL, 0, 2, of_itself),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_IF_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_char_p))


def limit() -> bool:
    """Give up every other system call, for this process and for good; False: this machine has no way to.

    Only for a process of one thread: others would keep what they may.
    """
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in _NUMBERS:
        return False
    program = _program(machine)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    wanted = _Filter(len(program) // 8, program)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(wanted), 0, 0) == 0)
