"""The service files, run as systemd would run them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from documents import ROOT

SERVICES = ROOT / "data" / "configs" / "services"
PROGRAMS = "/opt/sarpipe/.venv/bin/"
COMPOSE: dict[str, Any] = yaml.safe_load((SERVICES / "compose.yaml").read_text())


def settings(path: Path) -> dict[str, str]:
    """The variables of a file of environment."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


class Unit:
    """What a unit file says of its service.

    Args:
        name: Of the file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        text = (SERVICES / "systemd" / name).read_text()
        self._values: list[tuple[str, str]] = re.findall(r"^(\w+)=(.*)$", text, flags=re.MULTILINE)

    def all(self, key: str) -> list[str]:
        return [value for name, value in self._values if name == key]

    def environment(self, etc: Path, state: Path) -> dict[str, str]:
        """What its processes find in their environment.

        Args:
            etc: Stands for ``/etc/sarpipe``.
            state: Stands for ``/var/lib/sarpipe``.
        """
        words = [word for line in self.all("Environment") for word in shlex.split(line)]
        found = {
            name: value.replace("/var/lib/sarpipe", str(state)) for name, value in (w.split("=", 1) for w in words)
        }
        for path in self.all("EnvironmentFile"):
            found |= settings(Path(path.replace("/etc/sarpipe", str(etc))))
        return found

    def command(self, environment: Mapping[str, str]) -> list[str]:
        """Its one command, of the programs of this environment."""
        (line,) = self.all("ExecStart")
        line = re.sub(r"\$\{(\w+)\}", lambda match: environment[match[1]], line)
        return shlex.split(line.replace(PROGRAMS, f"{Path(sys.executable).parent}/"))


class Service:
    """A service that runs, without what systemd adds.

    Args:
        name: Of the unit file.
        etc: Stands for ``/etc/sarpipe``.
        folder: Stands for ``/var/lib/sarpipe``; its log goes there.
        changes: To the environment.
        ports: Other ones than its command has.
    """

    def __init__(
        self,
        name: str,
        etc: Path,
        folder: Path,
        changes: Mapping[str, str] | None = None,
        ports: Mapping[str, str] | None = None,
    ) -> None:
        unit = Unit(name)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "DASK_"))}
        own = unit.environment(etc, folder)
        self.environment = {**inherited, **own, **(changes or {})}
        self._command = [_replaced(word, ports or {}) for word in unit.command(self.environment)]
        self._folder = folder
        self._log = folder / f"{name}.log"
        self.start()

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env=self.environment,
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, timeout: float) -> int:
        """End it as systemd does, with SIGTERM to all of its processes; its exit code."""
        os.killpg(self.process.pid, signal.SIGTERM)
        return self.process.wait(timeout)

    def end(self) -> None:
        """Kill whatever still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def said(self) -> str:
        return self._log.read_text()


def _replaced(word: str, ports: Mapping[str, str]) -> str:
    for port, other in ports.items():
        word = re.sub(rf"\b{port}\b", other, word)
    return word
