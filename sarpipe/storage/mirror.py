"""Output at a URL: artefacts are made and read in a local cache, and what counts is what lies at the URL.

An object store has no rename. An artefact is published by uploading its files and then its manifest: who finds no
manifest finds nothing, and who finds one compares with it every byte that is fetched. What the cache has already is
compared byte by byte there, and at the URL by the manifest's bytes and the files' names and sizes: a byte that changes
at the URL and leaves the size as it was is seen by a machine whose cache has not the artefact. To replace one, its
manifest goes first.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sarpipe.errors import DamagedError, RemoteError
from sarpipe.storage import artefact as local
from sarpipe.storage.artefact import MANIFEST, Artefact
from sarpipe.storage.durable import fsync_path, storage_errors, write_bytes
from sarpipe.storage.lock import exclusive
from sarpipe.storage.remote import RemotePath, check_bucket, remote_path

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_SMALL_BYTES = 64 * 1024 * 1024
"""Of a file that is no part of an artefact."""
_TRIES = 3
"""So often an artefact is fetched that is replaced while it is fetched."""
_mounts: dict[Path, RemotePath] = {}
"""Which folder of this machine is the cache of which URL, in this process."""


def mount(url: str) -> Path:
    """The cache folder of a URL on this machine; what is done below it is from now on done at the URL.

    It lies in ``SARPIPE_CACHE``, by default ``~/.cache/sarpipe``, and may be deleted at any time.

    Raises:
        UsageError: The URL cannot be written to, or there is no such bucket.
    """
    there = remote_path(url, writable=True)
    name = f"{there.name}-{hashlib.sha256(there.url.encode()).hexdigest()[:12]}"
    folder = _cache() / name
    if _mounts.get(folder) != there:
        check_bucket(there)
        _mounts[folder] = there
    return folder


def address(path: Path) -> str:
    """Where a path below a mounted cache really is: its URL. Any other path as it is."""
    there = _remote(path)
    return str(there) if there is not None else str(path)


def link(path: Path) -> str:
    """As `address`, as a URL in any case."""
    there = _remote(path)
    return str(there) if there is not None else path.as_uri()


def ensure(
    folder: Path, meta: Mapping[str, Any], write: Callable[[Path], None], *, force: bool = False
) -> tuple[Artefact, bool]:
    """As `sarpipe.storage.artefact.ensure`; what is made is published, and so is what only the cache has.

    Raises:
        StorageError: It cannot be written.
    """
    there = _remote(folder)
    if there is None:
        return local.ensure(folder, meta, write, force=force)
    if not force:
        with suppress(FileNotFoundError, DamagedError):
            found = synced(folder)
            if local.is_of(found, meta):
                return found, False
    made, computed = local.ensure(folder, meta, write, force=force)
    with exclusive(folder):
        _push(made, there)
    return made, computed


def synced(folder: Path) -> Artefact:
    """The artefact as it is at the URL, fetched unless the cache has it; every file here is checked against the
    manifest there. Without a URL: `sarpipe.storage.open_verified`.

    Raises:
        FileNotFoundError: It is not there (the cache may have it: `ensure` then publishes that).
        DamagedError: A file is missing there, is one too many, or differs from the manifest.
        RemoteError: The URL cannot be read.
    """
    there = _remote(folder)
    if there is None:
        return local.open_verified(folder)
    with exclusive(folder):
        for last in (False,) * (_TRIES - 1) + (True,):
            manifest = (there / MANIFEST).read(MAX_MANIFEST_BYTES)
            try:
                return _pulled(folder, there, manifest)
            except DamagedError:
                # Was it replaced in the meantime? Then it is looked at again.
                if last or (there / MANIFEST).read(MAX_MANIFEST_BYTES) == manifest:
                    raise
    raise AssertionError("the last try returns or raises")


def fetched(folder: Path, digest: str) -> Artefact:
    """The artefact of these bytes: the cache's if it has them, else as `synced`, whatever its digest."""
    if _remote(folder) is not None:
        with suppress(FileNotFoundError, DamagedError):
            found = local.open_verified(folder)
            if found.digest == digest:
                return found
    return synced(folder)


def folders(parent: Path) -> list[Path]:
    """The folders directly below one, as they are at the URL, by name; none where there is no such folder."""
    there = _remote(parent)
    if there is None:
        below = parent.iterdir() if parent.is_dir() else ()
        return sorted(path for path in below if path.is_dir() and not path.name.startswith("."))
    with suppress(FileNotFoundError):
        return sorted(parent / child.path.name for child in there.children() if child.is_folder)
    return []


def small_files(parent: Path, suffix: str) -> list[Path]:
    """The files directly in a folder whose names end so, as they are at the URL, by name; hidden ones are not ours."""
    there = _remote(parent)
    if there is None:
        below = [path for path in parent.iterdir() if path.is_file()] if parent.is_dir() else []
    else:
        below = []
        with suppress(FileNotFoundError):
            below = [parent / child.path.name for child in there.children() if not child.is_folder]
    return sorted(path for path in below if path.name.endswith(suffix) and not path.name.startswith("."))


@contextmanager
def brought(folder: Path) -> Iterator[Path]:
    """The files of an artefact as they are at the URL, all of them, in a temporary folder: the cache has no part in it.
    Without a URL: the folder itself.

    Raises:
        FileNotFoundError: It is not there.
        DamagedError: Names or sizes at the URL are not as the manifest there says.
    """
    there = _remote(folder)
    if there is None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="sarpipe-") as temporary:
        copy = Path(temporary) / folder.name
        copy.mkdir()
        _fetch(copy, there, (there / MANIFEST).read(MAX_MANIFEST_BYTES), there.files())
        yield copy


def write_small(path: Path, data: bytes) -> None:
    """Put a small file that changes in place at once, at the URL too. Of two writers the last one wins. One that holds
    these bytes already is left as it is.

    Raises:
        StorageError: It cannot be written.
    """
    if path.is_file() and path.read_bytes() == data:
        # Who has renamed it may have been killed before the name was synced.
        with suppress(PermissionError), storage_errors(path):
            fsync_path(path.parent)
    else:
        write_bytes(path, data)
    there = _remote(path)
    if there is not None:
        with _writing(there):
            there.write(data)


def read_small(path: Path) -> bytes:
    """The bytes of a small file that changes, as they are at the URL.

    Raises:
        FileNotFoundError: It is not there.
    """
    there = _remote(path)
    if there is None:
        return path.read_bytes()
    return there.read(MAX_SMALL_BYTES)


def _pulled(folder: Path, there: RemotePath, manifest: bytes) -> Artefact:
    """What this manifest names, from the cache or else from the URL."""
    listed = there.files()
    cached = _cached(folder, manifest)
    if cached is not None:
        _check_listed(cached, there, listed)
        return cached

    try:
        return local.adopt(folder, lambda temporary: _fetch(temporary, there, manifest, listed))
    except FileNotFoundError as error:
        raise DamagedError(f"{there}: a file went away while it was fetched", local.AGAIN) from error
    except DamagedError as error:
        raise DamagedError(error.message.replace(str(folder), str(there)), error.hint) from error


def _fetch(temporary: Path, there: RemotePath, manifest: bytes, listed: Mapping[str, int]) -> None:
    """Bring the files that a manifest names, and it."""
    (temporary / MANIFEST).write_bytes(manifest)
    wanted = local.inspect(temporary)
    _check_listed(wanted, there, listed)
    for name, record in wanted.files.items():
        target = temporary / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (there / name).fetch(target, int(record["bytes"]), int(record["bytes"]))


def _cached(folder: Path, manifest: bytes) -> Artefact | None:
    """The artefact in the cache, if it is whole and the one of this manifest."""
    try:
        return local.open_verified(folder) if (folder / MANIFEST).read_bytes() == manifest else None
    except (FileNotFoundError, NotADirectoryError, DamagedError):
        return None


def _check_listed(wanted: Artefact, there: RemotePath, listed: Mapping[str, int]) -> None:
    """Compare names and sizes at the URL with the manifest; bytes are compared when they are fetched."""
    sizes = {name: int(record["bytes"]) for name, record in wanted.files.items()}
    found = {name: size for name, size in listed.items() if name != MANIFEST}
    for name in sorted(sizes.keys() | found.keys()):
        if name not in found:
            raise DamagedError(f"{there}/{name} is missing", local.AGAIN)
        if local.is_stray(name, sizes):
            continue
        if name not in sizes:
            raise DamagedError(f"{there}/{name} is not in the manifest", local.AGAIN)
        if sizes[name] != found[name]:
            raise DamagedError(f"{there}/{name} has {found[name]:,} bytes, needs {sizes[name]:,}", local.AGAIN)


def _push(made: Artefact, there: RemotePath) -> None:
    """Publish an artefact. What stands there goes first, its manifest before all: nobody takes a mix for whole.

    Raises:
        RemoteError: Another machine publishes other bytes in the same place: of trainings no two need be the same.
    """
    listed = there.files()
    if MANIFEST in listed:
        (there / MANIFEST).remove()
    for name in sorted(listed.keys() - made.files.keys() - {MANIFEST}):
        (there / name).remove()
    for name in made.files:
        _put(there / name, made.path(name))
    _put(there / MANIFEST, made.path(MANIFEST))
    _check_alone(made, there)


def _check_alone(made: Artefact, there: RemotePath) -> None:
    """See that nobody else has written there meanwhile: no server holds a lock for us.

    Bytes are compared by the server's tags, where these are MD5 (S3 without KMS, of what goes up in one part). The last
    of several looks last, so that no mix of them stays.
    """
    with suppress(FileNotFoundError):
        if (there / MANIFEST).read(MAX_MANIFEST_BYTES) == made.path(MANIFEST).read_bytes():
            stats = there.stats()
            tags = {name: stats[name].tag if name in stats else "" for name in (MANIFEST, *made.files)}
            if tags[MANIFEST] != _md5_tag(made.path(MANIFEST)) or all(
                tag is None or "-" in tag or tag == _md5_tag(made.path(name)) for name, tag in tags.items()
            ):
                return
            (there / MANIFEST).remove()
    raise RemoteError(
        f"another machine has published {there} at the same time",
        "Run it again: what is there by then is taken, or what this machine has made is published",
    )


def _md5_tag(file: Path) -> str:
    with file.open("rb") as opened:
        return f"etag:{hashlib.file_digest(opened, partial(hashlib.md5, usedforsecurity=False)).hexdigest()}"


def _put(there: RemotePath, file: Path) -> None:
    with _writing(there):
        there.put(file)


@contextmanager
def _writing(there: RemotePath) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise RemoteError(f"cannot write {there}: {error}", "Was its bucket deleted?") from error


def _remote(path: Path) -> RemotePath | None:
    """Where a path below a mounted cache really is; None: on this machine alone."""
    for root in _mounts.keys() & {path, *path.parents}:
        there = _mounts[root]
        return there / path.relative_to(root).as_posix() if path != root else there
    return None


def _cache() -> Path:
    named = os.environ.get("SARPIPE_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().resolve() / "sarpipe"
