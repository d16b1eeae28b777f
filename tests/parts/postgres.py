"""A real PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PASSWORD = "not so secret"


class Postgres:
    """A cluster of databases of its own, as the operating system's packages bring it; reached by its socket.

    Args:
        port: Of the loopback, to be reached there too, with `PASSWORD`.
    """

    def __init__(self, port: int | None = None) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
        if not found:
            pytest.skip("no PostgreSQL server")
        self._bin = found[-1].parent
        # Sockets have short paths, and PostgreSQL does not run as root.
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.port = port
        kept = self.folder / "password"
        kept.write_text(PASSWORD)
        how = ("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={kept}", "--no-sync", "-E", "UTF8")
        self._run("initdb", "-D", str(self.folder / "db"), "-U", "sarpipe", *how)
        listen = f"-c listen_addresses=127.0.0.1 -c port={port}" if port else "-c listen_addresses="
        where = ("-D", str(self.folder / "db"), "-l", str(self.folder / "log"))
        self._run("pg_ctl", *where, "-w", "-t", "300", "-o", f"-k {self.folder} -c fsync=off {listen}", "start")
        self._socket = ("-h", str(self.folder), "-U", "sarpipe", *(("-p", str(port)) if port else ()))
        self.create("prefect")

    def create(self, database: str) -> None:
        self._run("createdb", *self._socket, database)

    def ask(self, query: str, database: str = "prefect") -> list[str]:
        """The rows that a query gives, as psql prints them."""
        said = self._run("psql", *self._socket, "-Atc", query, database)
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
