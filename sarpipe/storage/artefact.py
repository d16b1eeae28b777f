"""An artefact: a folder whose manifest, written last, names every file with its size and checksum."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sarpipe.errors import DamagedError, StorageError
from sarpipe.storage.durable import fsync_path, fsync_tree
from sarpipe.storage.key import digest_json, file_sha256
from sarpipe.storage.lock import exclusive

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Artefact:
    """A committed folder.

    Attributes:
        folder: Where it is.
        meta: What it was made from and by: stage, key, settings, inputs, versions. JSON-able.
        files: Path below ``folder`` to ``{"bytes": int, "sha256": str}``.
    """

    folder: Path
    meta: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def digest(self) -> str:
        """SHA-256 of the files' names and bytes: the input from which later stages take their keys."""
        return digest_json(self.files)

    def path(self, name: str) -> Path:
        """The path of one of its files (or of a folder within)."""
        return self.folder / name


def commit(folder: Path, meta: Mapping[str, Any], write: Callable[[Path], None]) -> Artefact:
    """Make the artefact at ``folder``: all of it, or nothing.

    ``write`` fills a temporary folder beside it; then every file is synced, the manifest is written last,
    and one rename puts the folder in place. An artefact that stood there is replaced.

    Args:
        folder: Where it shall be.
        meta: JSON-able; kept in the manifest.
        write: Called with the temporary folder.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    temporary = folder.parent / f".tmp-{folder.name}"
    with _storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        temporary.mkdir()
        try:
            write(temporary)
            artefact = Artefact(folder, dict(meta), _records(temporary))
            _write_manifest(temporary, artefact)
            fsync_tree(temporary)
            _put_in_place(temporary, folder)
        finally:
            _remove(temporary)
    return artefact


def inspect(folder: Path) -> Artefact:
    """Read an artefact's manifest, without reading its files.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: The manifest itself is damaged.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_bytes())
        checksum = document.pop("checksum")
        intact = checksum == digest_json(document) and document["format"] == FORMAT
        artefact = Artefact(folder, document["meta"], document["files"])
    except FileNotFoundError:
        if folder.is_dir():
            raise DamagedError(f"{folder} has no {MANIFEST}", "Run the stage again: it makes this anew") from None
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise DamagedError(f"{path} is damaged", "Run the stage again: it makes this anew")
    return artefact


def open_verified(folder: Path) -> Artefact:
    """Read an artefact's manifest and check every file against it.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: A file is missing, is one too many, or differs; the message names it.
    """
    artefact = inspect(folder)
    found = {str(path.relative_to(folder)): path for path in _walk(folder)}
    for name in sorted(artefact.files.keys() ^ found.keys()):
        state = "is missing" if name in artefact.files else "is not in the manifest"
        raise DamagedError(f"{folder / name} {state}", "Run the stage again: it makes this anew")
    for name, record in artefact.files.items():
        if found[name].stat().st_size != record["bytes"] or file_sha256(found[name]) != record["sha256"]:
            raise DamagedError(f"{found[name]} does not match its checksum", "Run the stage again: it makes this anew")
    return artefact


def ensure(
    folder: Path, meta: Mapping[str, Any], write: Callable[[Path], None], *, force: bool = False
) -> tuple[Artefact, bool]:
    """Give the verified artefact at ``folder``; make it if it is missing or damaged.

    Returns:
        The artefact, and whether it was made now (``False``: it was there and whole).
    """
    with exclusive(folder):
        if not force:
            try:
                return open_verified(folder), False
            except (FileNotFoundError, DamagedError):
                pass
        return commit(folder, meta, write), True


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in _walk(folder)
    }


def _walk(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _write_manifest(folder: Path, artefact: Artefact) -> None:
    document = {"format": FORMAT, "meta": artefact.meta, "files": artefact.files}
    document["checksum"] = digest_json(document)
    (folder / MANIFEST).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Rename ``temporary`` to ``folder``. A folder that is not empty cannot be renamed over, so what stands
    there steps aside first; a crash in between leaves nothing at ``folder``, which a rerun makes again.
    """
    aside = folder.parent / f".old-{folder.name}"
    _remove(aside)
    if folder.exists():
        os.rename(folder, aside)
    os.rename(temporary, folder)
    fsync_path(folder.parent)
    _remove(aside)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"no space left while writing {folder}", "Free some space and run it again") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise StorageError(
                f"cannot write {folder}: {os.strerror(error.errno)}", "Choose another output folder with --data"
            ) from error
        raise
