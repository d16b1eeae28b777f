"""What is made once, by whichever process of the tests comes first, and read by all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of this name that all processes of the tests have in common.

    Args:
        factory: Of temporary folders.
        name: Of the folder.
        make: Fills an empty one.
    """
    common = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    folder, finished = common / name, common / f"{name}.finished"
    with (common / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            # Whoever failed before left it unfinished, and said why.
            folder.mkdir()
            make(folder)
            finished.touch()
    return folder
