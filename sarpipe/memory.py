"""How much memory this process may still take."""

from __future__ import annotations

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """What the machine can give without swapping, or less where a control group (a container, a batch job) allows less.

    Shared evenly between the processes of one training on this machine (``LOCAL_WORLD_SIZE``).
    """
    free = [_available(), _left_in_group()]
    known = [count for count in free if count is not None]
    total = min(known) if known else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return total // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _available() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _left_in_group() -> int | None:
    """What a version 2 control group leaves, where it sets a limit. Cached files count as left: they give way."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        statistics = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return max(0, limit - used + int(statistics.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None
