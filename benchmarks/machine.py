"""The machine that a figure belongs to."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def described() -> str:
    """Processor and the cores that this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(os.sched_getaffinity(0))} cores, {names[0] if names else platform.processor() or 'unknown'}"
