"""Copies of a finished run in which a forked process makes one kind of artefact, and may be killed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash_disk import Operation

from sarpipe.errors import DamagedError
from sarpipe.storage import Artefact, commit, open_verified
from sarpipe.storage.artefact import MANIFEST

HERE = Path(__file__).resolve().parent
WITHOUT = {
    "unit": ("cubes/sar-*/ssl4eos12*_000001-*",),
    "set": ("cubes/sar-*/set-*", "cubes/sar-*/current.json", "quarantine"),
    "parquet": (),
    "train": ("models/*",),
    "embed": ("embeddings/*", "energy"),
    "evaluate": ("reports/evaluation-*",),
    "report": ("reports/sar-*",),
    "quantize": (),
    "ledger": ("sources",),
    "record": (),
    "gc": (),
}
"""What is taken from a finished run, so that the scenario has it to make."""
ALL = ("cubes", "models", "embeddings", "energy", "reports", "quarantine", "runs")
TARGETS = {
    "unit": "cubes/sar-*/ssl4eos12*_000001-*",
    "set": "cubes/sar-*/set-*",
    "parquet": "cubes/sar-*/parquet/*_000001-*",
    "train": "models/*",
    "embed": "embeddings/sar-*",
    "evaluate": "reports/evaluation-*",
    "report": "reports/sar-*",
    "quantize": "embeddings/int8-*",
}
"""Which artefact a scenario makes."""


class Server:
    """A process that forks others which make artefacts, or die at one of their operations."""

    def __init__(self, folder: Path, finished: Path) -> None:
        library = folder / "crash_points.so"
        source = HERE / "crash_points.c"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-lpthread"], check=True)
        self._address = str(folder / "socket")
        self._process = subprocess.Popen(
            [sys.executable, HERE / "crash_server.py", self._address, finished],
            env={**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def ask(self, **request: Any) -> dict[str, Any] | None:
        """What a forked process has made; None: it was killed."""
        with socket.socket(socket.AF_UNIX) as call:
            call.settimeout(250)
            call.connect(self._address)
            call.sendall(json.dumps(request).encode() + b"\n")
            with call.makefile() as answer:
                said = answer.read()
        if not said:
            return None
        found: dict[str, Any] = json.loads(said)
        assert "failed" not in found, found["failed"]
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass
class World:
    """Where scenarios are played: copies of a finished run."""

    server: Server
    finished: Path
    stores: Path
    unpacked: Path
    folder: Path

    def copy(self, scenario: str, name: str) -> Path:
        """A finished run without what the scenario makes. Files are linked: no writer changes one in its place."""
        data = self.folder / scenario / name
        shutil.copytree(self.finished, data, copy_function=os.link, ignore=shutil.ignore_patterns(".lock-*"))
        for pattern in WITHOUT.get(scenario, ALL):
            for path in data.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if scenario == "gc":
            litter(data)
        return data

    def play(self, scenario: str, data: Path, **options: Any) -> dict[str, Any] | None:
        stores = self.unpacked if scenario == "ledger" else self.stores
        return self.server.ask(scenario=scenario, data=str(data), stores=str(stores), **options)


def litter(data: Path) -> None:
    """Put into a folder what 'sarpipe gc' is there for."""

    def one(folder: Path) -> None:
        (folder / "a.bin").write_bytes(b"first")
        (folder / "below").mkdir()
        (folder / "below" / "b.bin").write_bytes(b"second")

    (model,) = data.glob("models/sar-*")
    (recipe,) = data.glob("cubes/sar-*")
    key = "0123456789ab" + "0" * 52
    old = {"stage": "train", "key": key, "inputs": {"cubes": "1" * 64}, "settings": {}, "code": "old"}
    before = commit(data / "reports" / "evaluation-0123456789ab", {**old, "stage": "evaluate"}, one)
    commit(recipe / "some_store-0123456789ab", {**old, "stage": "preprocess"}, one)
    for start in (".tmp-", ".old-"):
        left = data / "reports" / f"{start}sar-0123456789ab"
        shutil.copytree(before.folder, left)
        # Not whole, so that it is of use to nobody.
        (left / "a.bin").unlink()
    commit(data / "models" / f"{model.name}.checkpoints" / "step-000000003-0123456789ab", old, one)
    (recipe / ".tmp-current.json-12-0123abcd").write_bytes(b"half")


def tree(data: Path) -> dict[str, bytes]:
    """All files but locks, and what making took."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock-") and path.parent.name not in ("energy", "runs")
    }


def hidden(data: Path) -> list[str]:
    return [path.name for path in data.rglob(".*") if not path.name.startswith(".lock-")]


def whole(folder: Path) -> Artefact | None:
    try:
        return open_verified(folder)
    except (FileNotFoundError, DamagedError):
        return None


def all_whole(data: Path) -> dict[Path, int]:
    """The whole artefacts, and which inode each manifest has: another where it was made anew."""
    found = {path.parent for path in data.rglob(MANIFEST) if not any(part.startswith(".") for part in path.parts[1:])}
    return {folder: (folder / MANIFEST).stat().st_ino for folder in sorted(found) if whole(folder)}


def read_log(path: Path) -> list[Operation]:
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        kind, *sizes = struct.unpack_from("5q", data, at)
        at += 40
        parts = []
        for size in (sizes[0], sizes[1], sizes[3]):
            parts.append(data[at : at + size])
            at += size
        found.append(Operation(kind, os.fsdecode(parts[0]), os.fsdecode(parts[1]), sizes[2], parts[2]))
    return found


@dataclass
class Undisturbed:
    """A scenario that nobody has disturbed: what it leaves, and how it came to that."""

    data: Path
    tree: dict[str, bytes]
    operations: list[Operation]
