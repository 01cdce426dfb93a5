"""What this machine has, asked in the ways that its system knows."""

from __future__ import annotations

import os
import re
from pathlib import Path

_MOUNTS = Path("/proc/mounts")  # of Linux


def local_cores() -> int:
    """CPU cores that this process may use; where the system does not say, as macOS, all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """The machine's memory, or None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def file_system(path: Path) -> str | None:
    """The kind of file system that holds `path`, such as ``ext4``; None where that is not known."""
    try:
        lines = os.fsdecode(_MOUNTS.read_bytes()).strip("\n").split("\n")
    except OSError:
        return None
    mounts = [(_unescaped(line.split(" ")[1]), line.split(" ")[2]) for line in lines]
    # Of two at one place the later one is seen.
    own = [(len(where), n, kind) for n, (where, kind) in enumerate(mounts)
           if path.is_relative_to(where)]  # fmt: skip
    return max(own)[2] if own else None


def _unescaped(where: str) -> str:
    """A mount's place: blanks in it are written as ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), where)
