"""A real PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


class Postgres:
    """A cluster of databases of its own, as the operating system's packages bring it; reached by its socket alone."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
        if not found:
            pytest.skip("no PostgreSQL server")
        self._bin = found[-1].parent
        # Sockets have short paths, and PostgreSQL does not run as root.
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._run("initdb", "-D", str(self.folder / "db"), "-U", "sarpipe", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()
        self.create("prefect")

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off"
        where = ("-D", str(self.folder / "db"), "-l", str(self.folder / "log"))
        self._run("pg_ctl", *where, "-w", "-o", options, "start")

    def create(self, database: str) -> None:
        self._run("createdb", "-h", str(self.folder), "-U", "sarpipe", database)

    def ask(self, query: str, database: str = "prefect") -> list[str]:
        """The rows that a query gives, as psql prints them."""
        said = self._run("psql", "-h", str(self.folder), "-U", "sarpipe", "-Atc", query, database)
        return said.splitlines()

    def end(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "db"), "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> str:
        command = [*self._as, str(self._bin / program), *arguments]
        # Not to a pipe: the server would keep it open.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, cwd="/")
            said.seek(0)
            text = said.read()
        assert done.returncode == 0, text
        return text
