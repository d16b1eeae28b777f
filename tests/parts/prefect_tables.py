"""Databases of Prefect that have their tables."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PrefectTables:
    """A folder with an SQLite database that has all tables and nothing in them.

    To make them takes a server most of half a minute of a core at its first start.
    """

    folder: Path

    def copy_to(self, home: Path) -> None:
        """Lay them where a server of this ``PREFECT_HOME`` has its database."""
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder / "prefect.db", home / "prefect.db")


def make_tables(folder: Path) -> None:
    """Into an empty folder, as the documents say it."""
    without = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = folder / "making"
    subprocess.run(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"],
        env={**without, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"},
        check=True,
        capture_output=True,
    )
    # With what still lies in the journal beside it.
    with closing(sqlite3.connect(home / "prefect.db")) as made, closing(sqlite3.connect(folder / "prefect.db")) as copy:
        made.backup(copy)
