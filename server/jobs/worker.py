"""Who does a job: a name that tells a living process from a dead one on the same machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def name_of_this_process() -> str:
    """`machine:pid:birth`; the birth tells this process from a later one with the same number."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{birth(pid)}"


def surely_dead(worker: str) -> bool:
    """Did this process run on this machine, and is it gone? False for other machines: only their lease tells."""
    machine, pid, born = [*worker.rsplit(":", 2), "", ""][:3]
    return machine == _machine() and pid.isdigit() and birth(int(pid)) != born


def _machine() -> str:
    """Host and name space of process numbers: two containers on one host count alike but mean others."""
    try:
        return f"{socket.gethostname()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()


def birth(pid: int) -> str:
    """When a process began: ticks after boot (proc(5), field 22) and the boot's own name; `gone` if it is not there."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "gone"
    after_name = stat.rpartition(")")[2].split()
    if after_name[0] == "Z":
        return "gone"
    return f"{after_name[19]}@{boot[:8]}"
