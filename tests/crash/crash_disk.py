"""A disk that forgets at a power cut what was not synced: files keep their last synced bytes, folders their entries."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

NOTHING, CREATE, WRITE, SYNC, RENAME, MKDIR, UNLINK, RMDIR, TRUNCATE, EXCHANGE = range(10)


@dataclass(frozen=True)
class Operation:
    """One operation on a file, as the preloaded library has logged it."""

    kind: int
    path: str
    other: str
    offset: int
    data: bytes


@dataclass(eq=False)
class File:
    """Its bytes as processes see them, and as they are on the disk for sure."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass(eq=False)
class Folder:
    """Its entries as processes see them, and as they are on the disk for sure."""

    entries: dict[str, File | Folder] = field(default_factory=dict)
    synced: dict[str, File | Folder] = field(default_factory=dict)


class Disk:
    """Plays operations that were logged below ``root``, starting from the files below ``start``, all of them synced."""

    def __init__(self, start: Path, root: Path) -> None:
        self._root = PurePosixPath(root)
        self.top = _read(start)

    def play(self, operation: Operation) -> None:
        """One more operation."""
        if operation.kind == NOTHING:
            return
        if operation.path == str(self._root):
            assert operation.kind == SYNC
            self.top.synced = dict(self.top.entries)
            return
        folder, name = self._parent(operation.path)
        if operation.kind == SYNC and name not in folder.entries:
            # safetensors renames a temporary file of its own by a raw system call, which no library sees.
            (hidden,) = (entry for entry in folder.entries if re.fullmatch(r"\.tmp\w{6}", entry))
            folder.entries[name] = folder.entries.pop(hidden)
        if operation.kind == CREATE:
            folder.entries[name] = File()
        elif operation.kind == MKDIR:
            # It may be there where the log is played on a tree that has more in it.
            folder.entries.setdefault(name, Folder())
        elif operation.kind in (UNLINK, RMDIR):
            del folder.entries[name]
        elif operation.kind == RENAME:
            target, other = self._parent(operation.other)
            target.entries[other] = folder.entries.pop(name)
        elif operation.kind == EXCHANGE:
            target, other = self._parent(operation.other)
            folder.entries[name], target.entries[other] = target.entries[other], folder.entries[name]
        elif operation.kind == SYNC:
            _sync(folder.entries[name])
        else:
            file = folder.entries[name]
            assert isinstance(file, File)
            if operation.kind == TRUNCATE:
                del file.data[operation.offset :]
                file.data.extend(bytes(operation.offset - len(file.data)))
            else:
                file.data.extend(bytes(max(0, operation.offset - len(file.data))))
                file.data[operation.offset : operation.offset + len(operation.data)] = operation.data

    def at(self, path: str) -> File | Folder | None:
        """What processes see at a path."""
        folder, name = self._parent(path)
        return folder.entries.get(name)

    def name(self, path: str) -> str:
        """A path of the log, below the root."""
        return str(PurePosixPath(path).relative_to(self._root))

    def seen(self) -> dict[str, bytes]:
        """All files as processes see them."""
        return files(self.top, lambda folder: folder.entries, lambda file: bytes(file.data))

    def after_power_cut(self, how: str, seed: int = 0) -> dict[str, bytes]:
        """All files as they may be found after a power cut.

        Args:
            how: ``least``: only what was synced; ``names``: all names, but only bytes that were synced; ``chance``: of
                each name and each file's bytes, what was synced or what was seen.
            seed: Of chance.
        """
        draw = random.Random(seed)

        def entries(folder: Folder) -> Mapping[str, File | Folder]:
            if how == "least":
                return folder.synced
            if how == "names":
                return folder.entries
            names = sorted(folder.entries.keys() | folder.synced.keys())
            picked = {name: draw.choice((folder.entries, folder.synced)).get(name) for name in names}
            return {name: node for name, node in picked.items() if node is not None}

        def content(file: File) -> bytes:
            if how != "chance" or file.data == file.synced:
                return file.synced
            return draw.choice((file.synced, bytes(file.data), bytes(file.data[: len(file.data) // 2])))

        return files(self.top, entries, content)

    def _parent(self, path: str) -> tuple[Folder, str]:
        *above, name = PurePosixPath(path).relative_to(self._root).parts
        folder = self.top
        for part in above:
            below = folder.entries[part]
            assert isinstance(below, Folder)
            folder = below
        return folder, name


def files(
    top: Folder, entries: Callable[[Folder], Mapping[str, File | Folder]], content: Callable[[File], bytes]
) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, node in sorted(entries(top).items()):
        if isinstance(node, File):
            found[name] = content(node)
        else:
            found |= {f"{name}/{below}": data for below, data in files(node, entries, content).items()}
    return found


def _read(path: Path) -> Folder:
    entries: dict[str, File | Folder] = {}
    for below in path.iterdir():
        if below.is_dir():
            entries[below.name] = _read(below)
        else:
            data = below.read_bytes()
            entries[below.name] = File(bytearray(data), data)
    return Folder(entries, dict(entries))


def _sync(node: File | Folder) -> None:
    if isinstance(node, File):
        node.synced = bytes(node.data)
    else:
        node.synced = dict(node.entries)
