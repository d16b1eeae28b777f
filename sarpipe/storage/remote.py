"""Files at a URL (object stores, web servers), read and written through fsspec with bounded retries.

Every call is tried `ATTEMPTS` times where the failure may go away by itself. The libraries below for S3 and HTTP do not
retry on their own account, so that a server which is down sees few requests; gcsfs and others do, some times each
call. What cannot go away (no such file, no access) fails at once.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from sarpipe.codes import Code
from sarpipe.errors import RemoteError, SarpipeError, UsageError
from sarpipe.storage.durable import storage_errors

log = logging.getLogger(__name__)
T = TypeVar("T")

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.5
"""Before the second attempt; doubled before each further one, times 0.5 to 1.5 by chance."""
CONNECT_SECONDS, READ_SECONDS = 10, 60
MAX_LISTED = 1_000_000
"""No folder of stores or artefact has as many files."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")
_READ_ONLY = ("http", "https")
_BUCKETS = ("s3", "s3a", "gs", "gcs")
_TAGS = ("md5Hash", "crc32c", "ETag", "etag")
"""Where fsspec gives what tells versions of a file apart. Times do not: two versions may be of one second."""
_SECRET = re.compile(r"(?<=://)[^/@\s]*@")
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
_TRANSIENT_CODES = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestTimeout"}
# By name, as the packages of the protocols are optional: bases of what aiohttp, botocore and fsspec raise where the
# connection fails, is cut or is silent.
_TRANSIENT_NAMES = {
    *("ClientConnectionError", "ClientPayloadError"),
    *("HTTPClientError", "ResponseParserError", "IncompleteReadError"),
    *("FSTimeoutError", "IncompleteRead"),
}
_TRANSIENT_ERRNO = {errno.EBUSY, errno.EREMOTEIO, errno.ETIMEDOUT, errno.ECONNRESET, errno.EPIPE, errno.ENETUNREACH}
_LOCAL_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_LIBRARIES = {"botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "azure", "adlfs", "requests", "paramiko"}
_CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or FSSPEC_S3_ANON=true for a public bucket",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or FSSPEC_GS_TOKEN=anon for a public bucket",
}


_MAX_PATH, _MAX_PART = 4000, 255


def is_url(text: str | Path | RemotePath) -> bool:
    """Whether a path is the URL of something remote; ``file://`` is not."""
    return isinstance(text, RemotePath) or (
        isinstance(text, str) and bool(_URL.match(text)) and not text.lower().startswith("file://")
    )


def local_path(text: str | Path) -> Path:
    """The path on this machine, of a path or a ``file://`` URL; ``~`` is expanded.

    Raises:
        UsageError: No file can have this path.
    """
    if isinstance(text, str) and text.lower().startswith("file://"):
        text = unquote(urlsplit(text).path)
    path = Path(os.path.expanduser(text))
    # What a terminal cannot type, a parameter of a flow can hold.
    try:
        parts = [os.fsencode(part) for part in path.parts]
    except UnicodeEncodeError:
        parts = [b"\0"]
    if any(b"\0" in part or len(part) > _MAX_PART for part in parts) or sum(map(len, parts)) > _MAX_PATH:
        raise UsageError(f"{ascii(str(path))[:100]} cannot be a path", "A path has at most 4,000 bytes, a name 255")
    return path


@dataclass(frozen=True)
class RemotePath:
    """One file or folder at a URL. Make it with `remote_path`, which checks the URL."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def parent(self) -> RemotePath:
        """The folder that it lies in."""
        return RemotePath(self.url.rsplit("/", 1)[0])

    @property
    def protocol(self) -> str:
        """``s3``, ``gs``, ``https`` ..."""
        return self.url.split("://", 1)[0]

    def __truediv__(self, name: str) -> RemotePath:
        """A file below it.

        Raises:
            RemoteError: ``name`` leads elsewhere. Names come from listings and manifests, which others may write.
        """
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable():
            raise RemoteError(f"{self} lists {name[:200]!r}, which is no name of a file below it")
        return RemotePath(f"{self.url}/{name}")

    def with_name(self, name: str) -> RemotePath:
        """A file beside it."""
        return self.parent / name

    def stat(self) -> Stat:
        """What the server says of the file or folder, in one request.

        Raises:
            FileNotFoundError: It is not there.
            SarpipeError: It cannot be reached.
        """
        return _stat(self, self._try("looking it up", lambda fs, path: fs.info(path)))

    def size(self) -> int | None:
        """Bytes of the file; None where the server does not say.

        Raises:
            FileNotFoundError: It is not there, or is a folder.
            SarpipeError: It cannot be reached.
        """
        stat = self.stat()
        if stat.is_folder:
            raise FileNotFoundError(f"{self} is a folder")
        return stat.size

    def exists(self) -> bool:
        """Whether there is a file or a folder."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def read(self, limit: int) -> bytes:
        """The whole of a small file.

        Raises:
            FileNotFoundError: It is not there.
            RemoteError: It has more than ``limit`` bytes, or it cannot be read.
        """
        # One byte more than may be: what has it is too large, and nothing more of it is fetched.
        data: bytes = self._try("reading", lambda fs, path: _start(fs, path, limit + 1))
        self._check(len(data), limit)
        return data

    def read_range(self, start: int, end: int) -> bytes:
        """Bytes ``start`` to ``end`` (exclusive), which must be there."""

        def call(fs: Any, path: str) -> bytes:
            data: bytes = fs.cat_file(path, start=start, end=end)
            # A server that does not know ranges sends the file from its start.
            data = data if len(data) <= end - start else data[start:end]
            if len(data) != end - start:
                raise ConnectionError(f"{len(data):,} of {end - start:,} bytes came")
            return data

        return self._try(f"reading bytes {start:,} to {end:,}", call)

    def fetch(self, to: Path, size: int | None, limit: int) -> None:
        """Write it to a local file.

        Args:
            to: The file; written over.
            size: The bytes that it has, where they are known: fewer are a cut connection.
            limit: The bytes that it may have.

        Raises:
            FileNotFoundError: It is not there.
            RemoteError: It is too large, or cannot be read.
            StorageError: The local disk is full.
        """
        if size is not None:
            self._check(size, limit)

        def call(fs: Any, path: str) -> None:
            fs.get_file(path, str(to), callback=_capped(lambda got: self._check(got, limit)))
            got = to.stat().st_size
            if size is not None and got != size:
                raise ConnectionError(f"{got:,} of {size:,} bytes came")

        with storage_errors(to):
            # Now: that it cannot be opened would later look like a failure of the server.
            to.write_bytes(b"")
            self._try("fetching", call)

    def put(self, file: Path) -> None:
        """Upload a local file in its place."""
        self._try("uploading", lambda fs, path: fs.put_file(str(file), path))

    def write(self, data: bytes) -> None:
        """Write a small file at once: a reader sees the old bytes or the new ones."""
        self._try("uploading", lambda fs, path: fs.pipe_file(path, data))

    def remove(self) -> None:
        """Delete the file, if it is there."""

        def call(fs: Any, path: str) -> None:
            try:
                fs.rm_file(path)
            except FileNotFoundError:
                log.debug("%s was not there", self)

        self._try("deleting", call)

    def children(self) -> list[Stat]:
        """What lies directly in this folder, in order.

        Raises:
            FileNotFoundError: There is no such folder.
        """
        listed = self._try("listing", lambda fs, path: _listed(fs, path, fs.ls(path, detail=True)))
        return [_stat(self / name, info) for name, info in listed if "/" not in name]

    def files(self) -> dict[str, int]:
        """Every file below it: its path from here, to its bytes. Empty where there is nothing."""
        return {name: stat.size or 0 for name, stat in self.stats().items()}

    def stats(self) -> dict[str, Stat]:
        """Every file below it: its path from here, to what the server says of it. Empty where there is nothing."""
        try:
            listed = self._try("listing", lambda fs, path: _listed(fs, path, fs.find(path, detail=True).values()))
        except FileNotFoundError:
            return {}
        found = {name: _stat(self / name, info) for name, info in listed}
        return {name: stat for name, stat in found.items() if not stat.is_folder}

    def glob(self) -> list[Stat]:
        """What it matches as a pattern."""

        def call(fs: Any, path: str) -> list[tuple[str, Mapping[str, Any]]]:
            return [(str(fs.unstrip_protocol(name)), info) for name, info in fs.glob(path, detail=True).items()]

        return [_stat(_checked(url), info) for url, info in sorted(self._try("listing", call), key=_first)]

    def _try(self, what: str, call: Callable[[Any, str], T]) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                fs, path = _filesystem(self.url)
                return call(fs, path)
            except SarpipeError:
                raise
            except Exception as error:
                cause = _transient_cause(error)
                if cause is None:
                    raise _permanent(self, what, error) from error
                if attempt == ATTEMPTS:
                    raise RemoteError(
                        f"{self}: {what} failed {ATTEMPTS} times, at last with: {_said(cause)}",
                        "The server or the network is not well: run it again later, what was finished is kept",
                    ) from error
                log.info("%s: %s failed (%s), attempt %d of %d", self, what, _said(cause), attempt, ATTEMPTS)
            # Not for secrets: so that many workers do not come back at one time.
            time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError("the last attempt returns or raises")

    def _check(self, size: int, limit: int) -> None:
        if size > limit:
            raise RemoteError(f"{self} has more than the {limit:,} bytes that such a file may have")


@dataclass(frozen=True)
class Stat:
    """What a server says of a file or folder, without its bytes.

    Attributes:
        path: What it is said of.
        is_folder: Whether it is a folder.
        size: Bytes of the file; None where the server does not say.
        tag: Another for other bytes at this URL: a checksum of the content, or the ETag; None where the server gives
            neither.
    """

    path: RemotePath
    is_folder: bool
    size: int | None
    tag: str | None


def remote_path(url: str, *, writable: bool = False) -> RemotePath:
    """Check a URL.

    Args:
        url: As the user gave it.
        writable: Whether it shall be written to.

    Raises:
        UsageError: It names no place that can be read (or written), carries a password, or needs a package that is
            not installed.
    """
    protocol, _, rest = url.partition("://")
    shown = _masked(url)
    if "::" in url or not rest.strip("/"):
        raise UsageError(f"{shown} is no URL of a file or folder", "For example s3://bucket/folder")
    if "@" in rest.split("/", 1)[0]:
        raise UsageError(
            f"{shown} carries a user or password, which would end up in logs",
            _CREDENTIALS.get(protocol.lower(), "Give them by the environment or fsspec's configuration files"),
        )
    if protocol.lower() in _READ_ONLY and ("?" in rest or "#" in rest):
        raise UsageError(f"{shown.split('?')[0]}?... has a query, which may be a secret", "Give a plain URL")
    if ".." in rest.split("/") or not url.isprintable():
        raise UsageError(f"{shown} holds '..' or unprintable characters", "Give the plain URL")
    if writable and protocol.lower() in _READ_ONLY:
        raise UsageError(f"{shown} cannot be written to", "Give a folder or an object store, as s3://bucket/folder")
    place = RemotePath(f"{protocol.lower()}://{rest.rstrip('/')}")
    _ = _filesystem(place.url)
    return place


def check_bucket(place: RemotePath) -> None:
    """See that there is a bucket and that we may look into it.

    Raises:
        UsageError: There is none, or we may not.
    """
    protocol, _, rest = place.url.partition("://")
    bucket = RemotePath(f"{protocol}://{rest.split('/', 1)[0]}")
    if protocol in _BUCKETS and not bucket.exists():
        raise UsageError(f"there is no bucket {bucket}", "Make it first, or check its name and AWS_ENDPOINT_URL")


def _filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, which fsspec keeps for this process, and the path in it."""
    # Imported here, as most runs are local.
    import fsspec
    from fsspec.core import url_to_fs

    protocol = url.split("://", 1)[0]
    try:
        fsspec.get_filesystem_class(protocol)
        fs, path = url_to_fs(url, **_options(protocol))
    except ImportError as error:
        package = "s3fs" if protocol in ("s3", "s3a") else "aiohttp" if protocol in _READ_ONLY else ""
        raise UsageError(
            f"{protocol}:// needs a package that is not installed: {error}",
            f"pip install {package}" if package else "Install the package that fsspec names",
        ) from error
    except ValueError as error:
        raise UsageError(f"{_masked(url)}: {error}", "For example s3://bucket/folder") from error
    except OSError as error:
        # Of some protocols it connects at once.
        raise RemoteError(f"{_masked(url)} cannot be reached: {error}", "Check the URL and the network") from error
    if hasattr(fs, "retries"):
        # Of s3fs and gcsfs: attempts below ours would multiply with them.
        fs.retries = 1
    return fs, path


def _options(protocol: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if protocol in (*_BUCKETS, *_READ_ONLY):
        # A listing that was kept would hide what another machine has written since.
        options["use_listings_cache"] = False
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = {
            "retries": {"total_max_attempts": 1},
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
        }
        # Parts of 50 MB that are in memory at a time.
        options["max_concurrency"] = 2
    if protocol in _READ_ONLY:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        options["client_kwargs"] = {"timeout": timeout}
    return options


def _capped(check: Callable[[int], None]) -> Any:
    """Calls ``check`` with the bytes that have come, while they come."""
    from fsspec.callbacks import Callback

    return Callback(hooks={"cap": lambda _size, value, **_: check(value)})


def _checked(url: str) -> RemotePath:
    """A URL that a server has listed."""
    protocol, _, rest = url.partition("://")
    root, _, below = rest.rstrip("/").partition("/")
    top = RemotePath(f"{protocol}://{root}")
    return top / below if below else top


def _stat(path: RemotePath, info: Mapping[str, Any]) -> Stat:
    size = info.get("size")
    return Stat(path, info.get("type") == "directory", None if size is None else int(size), _tag(info))


def _tag(info: Mapping[str, Any]) -> str | None:
    for name in _TAGS:
        value = str(info.get(name) or "").strip('"')
        # A weak one may stay when bytes change that do not change what they mean.
        if value and not value.startswith("W/"):
            return f"{name.lower()}:{value}"
    return None


def _first(pair: tuple[str, Any]) -> str:
    return pair[0]


def _listed(fs: Any, root: str, entries: Iterable[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Path from the root of what was listed, but for the root itself, and what was said of it."""
    entries = list(entries)
    if len(entries) > MAX_LISTED:
        raise RemoteError(f"{root} lists {len(entries):,} files: more than any folder of ours")
    prefix = fs._strip_protocol(root).rstrip("/") + "/"
    listed = []
    for entry in entries:
        name = str(entry["name"]).rstrip("/")
        # What lies elsewhere (a web page links to many things) is not ours; nor is the folder itself.
        if name.startswith(prefix):
            listed.append((name.removeprefix(prefix), entry))
    return sorted(listed, key=_first)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(6):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def _status(error: BaseException) -> tuple[int | None, str]:
    """HTTP status and error code, of what aiohttp, requests, gcsfs or botocore raise."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status, str(response.get("Error", {}).get("Code", ""))
    for name in ("status", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int):
            return value, ""
    return None, ""


def _transient_cause(error: BaseException) -> BaseException | None:
    """What another attempt may not meet again; None where it would. fsspec says "not found" of a web server that
    answers 503 or that is not there, and s3fs makes numbers of codes: so what lies below decides.
    """
    for cause in _chain(error):
        if isinstance(cause, ConnectionError | TimeoutError) or any(
            base.__name__ in _TRANSIENT_NAMES for base in type(cause).__mro__
        ):
            return cause
        status, code = _status(cause)
        if status is not None:
            return cause if status in _TRANSIENT_STATUS or code in _TRANSIENT_CODES else None
    return error if isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNO else None


def _permanent(place: RemotePath, what: str, error: Exception) -> Exception:
    status = next((status for status, _ in map(_status, _chain(error)) if status is not None), None)
    hint = _CREDENTIALS.get(place.protocol, "Check the credentials")
    if "Credentials" in type(error).__name__:
        return UsageError(f"{place}: no credentials to read it with ({_said(error)})", hint, code=Code.CREDENTIALS)
    if isinstance(error, PermissionError) or status in (401, 403):
        return UsageError(f"{place}: access is denied ({_said(error)})", hint, code=Code.CREDENTIALS)
    if isinstance(error, FileNotFoundError) or status == 404:
        return FileNotFoundError(f"{place} does not exist ({_said(error)})")
    of_library = type(error).__module__.partition(".")[0] in _LIBRARIES
    if not of_library and not isinstance(error, OSError | ValueError):
        return error
    if isinstance(error, OSError) and error.errno in _LOCAL_ERRNO:
        return error
    return RemoteError(f"{place}: {what} failed: {_said(error)}", "Check the URL and the settings of the server")


def _said(error: BaseException) -> str:
    text = _masked(" ".join(str(error).split()))[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _masked(text: str) -> str:
    return _SECRET.sub("***@", text)


def _start(fs: Any, path: str, size: int) -> bytes:
    """The first ``size`` bytes of a file, or all of it. Of a web server's answer no more: it may know no ranges."""
    if "http" not in fs.protocol:
        data: bytes = fs.cat_file(path, start=0, end=size)
        return data
    parts: list[bytes] = []
    with fs.open(path, "rb", block_size=0) as file:
        while size > 0 and (part := file.read(min(size, 1 << 20))):
            parts.append(part)
            size -= len(part)
    return b"".join(parts)
