"""An artefact: a folder whose manifest, written last, names every file with its size and checksum."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sarpipe.errors import DamagedError, StorageError
from sarpipe.storage.durable import exchange, fsync_path, fsync_tree, make_folder, storage_errors
from sarpipe.storage.key import digest_json, file_sha256
from sarpipe.storage.lock import exclusive
from sarpipe.storage.verified import known_sha256

MANIFEST = "manifest.json"
FORMAT = 1
_TEMPORARY, _ASIDE, _GONE = ".tmp-", ".old-", ".gone-"
"""Starts of the names of a folder that is being filled, of one that is being replaced, and of one that is removed."""
AGAIN = "Run the stage again: it makes this anew"


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

    @property
    def bytes(self) -> int:
        """Of its files together, as the manifest says."""
        return sum(int(record["bytes"]) for record in self.files.values())

    def path(self, name: str) -> Path:
        """The path of one of its files (or of a folder within)."""
        return self.folder / name


def commit(folder: Path, meta: Mapping[str, Any], write: Callable[[Path], None]) -> Artefact:
    """Make the artefact at ``folder``: all of it, or nothing.

    ``write`` fills a temporary folder beside it; then every file is synced, the manifest is written last,
    and one rename puts the folder in place. An artefact that stood there changes places with it, and is removed. One
    maker at a time: call it through `ensure`, or hold `sarpipe.storage.lock.exclusive`.

    Args:
        folder: Where it shall be.
        meta: JSON-able; kept in the manifest.
        write: Called with the temporary folder. It leaves regular files and folders there, and no links.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
        ValueError: ``meta`` holds NaN or infinity.
    """
    # As JSON gives it back: tuples as lists, keys as text.
    meta = json.loads(json.dumps(dict(meta), allow_nan=False))
    with _new_folder(folder) as temporary:
        write(temporary)
        # The disk writes while the processor hashes. A failure of either ends both.
        with ThreadPoolExecutor(1) as beside:
            syncing = beside.submit(fsync_tree, temporary)
            artefact = Artefact(folder, meta, _records(temporary))
            syncing.result()
        _write_manifest(temporary, artefact)
    return artefact


def adopt(folder: Path, fetch: Callable[[Path], None]) -> Artefact:
    """Put the copy of an artefact at ``folder``, if it is whole. What stood there is replaced. One at a time, as
    `commit`.

    Args:
        folder: Where it shall be.
        fetch: Called with a temporary folder. It brings the files, and the manifest.

    Raises:
        DamagedError: What came does not match the manifest that came.
        StorageError: The disk is full, or the folder cannot be written to.
    """
    with _new_folder(folder) as temporary:
        try:
            fetch(temporary)
            whole = open_verified(temporary)
        except DamagedError as error:
            raise DamagedError(error.message.replace(str(temporary), str(folder)), error.hint) from error
    return replace(whole, folder=folder)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill; at the end it is synced and put in place, if nothing went wrong."""
    temporary = _temporary(folder)
    with storage_errors(folder):
        make_folder(folder.parent)
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        _remove(temporary)
        temporary.mkdir()
        try:
            yield temporary
            fsync_tree(temporary)
        except BaseException:
            # A thread of the writer's libraries may still be writing there; what is left is swept by the next maker.
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        # From here on it is finished: what goes wrong, or is interrupted, leaves it to the next maker to find.
        _put_in_place(temporary, folder)
        _remove(temporary)
        _remove(_aside(folder))


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
            raise DamagedError(f"{folder} has no {MANIFEST}", AGAIN) from None
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, IsADirectoryError, NotADirectoryError):
        intact = False
    if not intact:
        raise DamagedError(f"{path} is damaged", AGAIN)
    return artefact


def open_verified(folder: Path, *, unread: Collection[str] = ()) -> Artefact:
    """Read an artefact's manifest and check every file against it. Links are not followed. What others have put beside
    its files (`strays`) is nobody's damage: nothing that is not in the manifest is ever read.

    Args:
        folder: Where it is.
        unread: Files of which the size alone is checked: who reads them has other checksums, or does not read them.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: A file is missing, is one too many within a folder of ours, differs, is a link, or lies where the
            disk fails; the message names it.
    """
    again = AGAIN
    try:
        artefact = inspect(folder)
        if artefact.meta.get("stage"):
            again = f"Run stage {artefact.meta['stage']} again: it makes this anew"
        difference = next(differences(artefact, unread=unread), None)
    except OSError as error:
        # Bytes that the disk does not give back are lost as those are that it gives back otherwise. Not so where it is
        # a matter of permission or of open files.
        if error.errno != errno.EIO:
            raise
        difference = f"{error.filename or folder} cannot be read: {error.strerror}"
    if difference is not None:
        raise DamagedError(difference, again)
    return artefact


def part_of(file: Path) -> Artefact | None:
    """The artefact that a file is part of, by the manifest beside it, which alone is read. None: a file by itself,
    beside which there is no manifest, or one that does not name it.

    Raises:
        DamagedError: The manifest is damaged, so that nobody knows.
    """
    there = file.resolve()
    try:
        artefact = inspect(there.parent) if (there.parent / MANIFEST).is_file() else None
    except DamagedError as error:
        hint = f"{error.hint}. To use the file as one by itself, copy it elsewhere"
        raise DamagedError(f"{error.message}, and {there.name} is beside it", hint) from error
    return artefact if artefact is not None and there.name in artefact.files else None


def verify_part(file: Path) -> Artefact | None:
    """As `part_of`, and the file is compared with the manifest; of the others there, the sizes.

    Raises:
        DamagedError: As `part_of` and `open_verified`.
    """
    artefact = part_of(file)
    if artefact is not None:
        open_verified(artefact.folder, unread=artefact.files.keys() - {file.resolve().name})
    return artefact


def is_of(artefact: Artefact, meta: Mapping[str, Any]) -> bool:
    """Whether it was made for the key in ``meta``. One that is whole may have come into the place of another, by who
    has renamed it or put back a copy.
    """
    return bool(artefact.meta.get("key") == meta.get("key"))


def differences(artefact: Artefact, *, unread: Collection[str] = ()) -> Iterator[str]:
    """What is not as the manifest says, file by file, in words; files of ``unread`` are compared by size alone."""
    folder = artefact.folder
    found = {str(path.relative_to(folder)): path for path in _walk(folder)}
    for name in sorted(artefact.files.keys() ^ found.keys()):
        if is_stray(name, artefact.files):
            continue
        yield f"{folder / name} {'is missing' if name in artefact.files else 'is not in the manifest'}"
    for name, record in artefact.files.items():
        if name not in found:
            continue
        if not _is_regular(found[name]):
            yield f"{found[name]} is not a regular file"
            continue
        same = found[name].stat().st_size == record["bytes"]
        if not same or (name not in unread and known_sha256(found[name]) != record["sha256"]):
            yield f"{found[name]} does not match its checksum"


def strays(artefact: Artefact) -> list[str]:
    """What somebody has put beside the files of an artefact: notes, what a file browser or a tool leaves."""
    found = (str(path.relative_to(artefact.folder)) for path in _walk(artefact.folder))
    return [name for name in found if is_stray(name, artefact.files)]


def is_stray(name: str, files: Collection[str]) -> bool:
    """Whether it lies beside what the manifest names: neither one of these files nor within a folder of theirs."""
    return name.split("/", 1)[0] not in {known.split("/", 1)[0] for known in files}


def ensure(
    folder: Path, meta: Mapping[str, Any], write: Callable[[Path], None], *, force: bool = False
) -> tuple[Artefact, bool]:
    """Give the verified artefact at ``folder``; make it if it is missing, damaged, or that of another key.

    What is there and whole is taken whatever else its ``meta`` says, versions of libraries for one.

    Returns:
        The artefact, and whether it was made now (``False``: it was there and whole).

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    with exclusive(folder):
        sweep(folder, str(meta.get("key", "")))
        if not force:
            with suppress(FileNotFoundError, DamagedError):
                found = open_verified(folder)
                if is_of(found, meta):
                    return found, False
        return commit(folder, meta, write), True


def remove(folder: Path) -> None:
    """Remove an artefact, whole or not: at once from its place, then from the disk. One at a time, as `commit`.

    Raises:
        StorageError: The folder cannot be written to.
    """
    gone = _gone(folder)
    with storage_errors(folder):
        _remove(gone)
        os.rename(folder, gone)
        fsync_path(folder.parent)
        _remove(gone)


def leftovers(parent: Path) -> Iterator[tuple[Path, Path]]:
    """What makers of artefacts in a folder are making there, or have left when they were killed.

    Yields:
        It, and the artefact that it was to be, or was.
    """
    for path in sorted(parent.glob(".*-*")):
        for start in (_TEMPORARY, _ASIDE, _GONE):
            if path.name.startswith(start) and (path.is_dir() or path.is_symlink()):
                yield path, parent / path.name.removeprefix(start)


def left_beside(folder: Path) -> list[Path]:
    """What the makers of one artefact have left, or one is making."""
    beside = (_temporary(folder), _aside(folder), _gone(folder))
    return [path for path in beside if os.path.lexists(path)]


def recoverable(folder: Path, key: str = "") -> Path | None:
    """What killed makers have left beside a folder in which nothing is whole, if it is: what was finished but for its
    last rename, else what stood there before. Changes nothing.

    Args:
        folder: Of the artefact.
        key: What the key has to begin with.

    Raises:
        OSError: The system does not say whether it is whole.
    """
    left = [path for path in (_temporary(folder), _aside(folder)) if path.is_dir() and not path.is_symlink()]
    if not left or _is_whole(folder, key):
        return None
    return next((path for path in left if _is_whole(path, key)), None)


def sweep(folder: Path, key: str = "") -> bool:
    """Put in place what killed makers left and is `recoverable`, and remove the rest; whether there was such. One at a
    time, as `commit`.
    """
    if not left_beside(folder):
        return False
    with storage_errors(folder):
        whole = recoverable(folder, key)
        if whole is not None:
            # It may be whole in memory alone.
            fsync_tree(whole)
            _put_in_place(whole, folder)
        for path in left_beside(folder):
            _remove(path)
    return True


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    records = {}
    for path in _walk(folder):
        if not _is_regular(path):
            raise StorageError(f"{path} is not a regular file, so it cannot be kept in an artefact")
        records[str(path.relative_to(folder))] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    return records


def _walk(folder: Path) -> list[Path]:
    """All that is below a folder, but folders and the manifest. What a link points to is not ours."""
    below = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path for path in below if path != folder / MANIFEST)


def _is_regular(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _write_manifest(folder: Path, artefact: Artefact) -> None:
    document = {"format": FORMAT, "meta": artefact.meta, "files": artefact.files}
    document["checksum"] = digest_json(document)
    (folder / MANIFEST).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _put_in_place(whole: Path, folder: Path) -> None:
    """Rename ``whole``, which lies beside it, to ``folder``. What stands there changes places with it, so that at no
    moment there is nothing: it is the caller's to remove.
    """
    if not folder.is_dir():
        os.rename(whole, folder)
    elif not exchange(whole, folder):
        _rename_aside(whole, folder)
    fsync_path(folder.parent)


def _rename_aside(whole: Path, folder: Path) -> None:
    """As `exchange`, by two renames, as a folder that is not empty cannot be renamed over: after a crash in between
    both are found by `sweep`.
    """
    aside = _temporary(folder) if whole == _aside(folder) else _aside(folder)
    _remove(aside)
    try:
        os.rename(folder, aside)
        os.rename(whole, folder)
    except BaseException:
        if aside.exists() and not folder.exists():
            os.rename(aside, folder)
        raise


def _is_whole(folder: Path, key: str) -> bool:
    try:
        return str(open_verified(folder).meta.get("key", "")).startswith(key)
    except (FileNotFoundError, DamagedError):
        return False


def _temporary(folder: Path) -> Path:
    return folder.parent / f"{_TEMPORARY}{folder.name}"


def _aside(folder: Path) -> Path:
    return folder.parent / f"{_ASIDE}{folder.name}"


def _gone(folder: Path) -> Path:
    return folder.parent / f"{_GONE}{folder.name}"


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
