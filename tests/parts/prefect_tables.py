"""Databases of Prefect that have their tables."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path


class PrefectTables:
    """An SQLite database with all tables and nothing in them: to make them takes a server most of half a minute of a
    core at its first start, so it is done once, by whichever process of the tests comes first.

    Args:
        folder: The processes' own in common.
    """

    def __init__(self, folder: Path) -> None:
        self._made = folder / "prefect.db"
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._made.exists():
                self._make(folder / "making")

    def copy_to(self, home: Path) -> None:
        """Lay them where a server of this ``PREFECT_HOME`` has its database."""
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._made, home / "prefect.db")

    def _make(self, home: Path) -> None:
        without = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        subprocess.run(
            [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
            env={**without, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"},
            check=True,
            capture_output=True,
        )
        whole = self._made.with_suffix(".whole")
        with closing(sqlite3.connect(home / "prefect.db")) as made, closing(sqlite3.connect(whole)) as copy:
            made.backup(copy)
        whole.rename(self._made)
