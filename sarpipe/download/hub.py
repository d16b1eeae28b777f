"""The part of the Hugging Face Hub's HTTP interface that a download needs.

Source: huggingface_hub @ee0a4510, ``hf_api.py`` (``dataset_info``, ``list_repo_tree``), ``utils/_pagination.py``,
``file_download.py`` and ``constants.py`` (``HF_ENDPOINT``, ``HF_TOKEN``).
"""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx

from sarpipe import __version__
from sarpipe.codes import Code
from sarpipe.download.dataset import Layout, folder_of
from sarpipe.download.retry import Attempts, Retry, TransientError, asked_wait_s
from sarpipe.errors import DownloadError, UsageError

_HOME = "https://huggingface.co"
_BUSY = (408, 429, 500, 502, 503, 504)
_ANSWER_BYTES = 16 * 2**20
"""A page of the listing is some 300 kB; more than this is not read into memory."""
_PAGES = 100
"""A page lists 1,000 files; the dataset has 4."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub lists it: its path in the repository, size in bytes, and SHA-256 (64 hex digits)."""

    path: str
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The file name without its folder."""
        return self.path.rpartition("/")[2]


class MissingError(DownloadError):
    """The Hub does not have it."""


class RangeError(TransientError):
    """The server does not go on where the part ends."""


class Hub:
    """One dataset repository. Made by `connect`."""

    def __init__(
        self, client: httpx.AsyncClient, endpoint: httpx.URL, layout: Layout, retry: Retry, say: Callable[[str], None]
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._layout = layout
        self._retry = retry
        self._say = say

    async def commit(self, revision: str) -> str:
        """The commit (40 hex digits) that a branch, a tag or a commit stands for.

        Raises:
            UsageError: There is no such revision.
            DownloadError: The Hub cannot be reached, or refuses.
        """
        try:
            answer, _ = await self._json(f"api/datasets/{self._layout.repository}/revision/{quote(revision, safe='')}")
        except MissingError as error:
            raise UsageError(
                f"{self._layout.repository} has no revision {revision!r}", "Leave --revision out, for main"
            ) from error
        commit = answer.get("sha") if isinstance(answer, dict) else None
        if not isinstance(commit, str) or not re.fullmatch("[0-9a-f]{40}", commit):
            raise self._odd(f"the commit of {revision!r}", commit)
        return commit

    async def files(self, commit: str, split: str) -> list[RemoteFile]:
        """The dataset's files of a split. What has another name is left out, so no other path is ever written.

        Raises:
            DownloadError: The Hub cannot be reached, refuses, or lists something that cannot be verified.
        """
        path = f"api/datasets/{self._layout.repository}/tree/{commit}/{folder_of(split)}"
        entries: list[Any] = []
        query: httpx.QueryParams | None = httpx.QueryParams({"recursive": "false"})
        for _ in range(_PAGES):
            page, query = await self._json(path, query)
            if not isinstance(page, list):
                raise self._odd(f"the files of {folder_of(split)}", page)
            entries += page
            if query is None:
                break
        else:
            raise self._odd(f"the files of {folder_of(split)}", f"more than {_PAGES} pages")
        files = [self._file(entry) for entry in entries if self._is_data(entry, split)]
        if not files:
            raise self._odd(f"the files of {folder_of(split)}", f"none like {self._layout.example}")
        return files

    @asynccontextmanager
    async def content(
        self, commit: str, file: RemoteFile, start: int
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """A file's bytes from ``start`` on.

        Yields:
            Where they begin, ``start`` or 0 (the server does not know ranges), and the bytes as they come.

        Raises:
            RangeError: The server does not go on at ``start``.
            TransientError: The connection broke, or the server is busy; also out of the iterator.
            DownloadError: The Hub refuses.
            MissingError: It does not have the file.
        """
        url = self._url(f"datasets/{self._layout.repository}/resolve/{commit}/{file.path}")
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._network():
            async with self._client.stream("GET", url, headers=headers) as response:
                if response.status_code == 416:
                    raise RangeError("the server has no such range")
                self._check(response, file.path)
                if response.status_code == 206:
                    expected = f"bytes {start}-{file.bytes - 1}/{file.bytes}"
                    if response.headers.get("content-range") != expected:
                        raise RangeError(f"the server sent {response.headers.get('content-range')}, not {expected}")
                    yield start, response.aiter_raw()
                else:
                    yield 0, response.aiter_raw()

    async def _json(self, path: str, query: httpx.QueryParams | None = None) -> tuple[Any, httpx.QueryParams | None]:
        """An answer, and the query of the page after it if there is one."""
        attempts = Attempts(self._endpoint.host, self._retry, self._say)
        while True:
            try:
                with self._network():
                    async with self._client.stream("GET", self._url(path), params=query) as response:
                        self._check(response, path)
                        body = bytearray()
                        async for piece in response.aiter_bytes():
                            body += piece
                            if len(body) > _ANSWER_BYTES:
                                raise self._odd(path, f"more than {_ANSWER_BYTES} bytes")
                        return json.loads(body), _next_page(response)
            except TransientError as error:
                await attempts.wait(error)
            except (ValueError, RecursionError) as error:
                raise self._odd(path, bytes(body[:40])) from error

    def _url(self, path: str) -> httpx.URL:
        return httpx.URL(f"{str(self._endpoint).rstrip('/')}/{path}")

    def _check(self, response: httpx.Response, what: str) -> None:
        """Refuse what is not a plain answer."""
        status = response.status_code
        if status in (200, 206):
            return
        if status in _BUSY:
            raise TransientError(f"{response.url.host} answered {status}", asked_wait_s(response.headers))
        if _origin(response.url) != _origin(self._endpoint):
            # The content network refuses links that ran out; the next attempt asks the Hub for a new one.
            raise TransientError(f"{response.url.host} answered {status}")
        if status == 404:
            raise MissingError(f"{response.url.host} does not have {what} (404)", "See 'sarpipe download --help'")
        if status in (401, 403):
            raise DownloadError(
                f"{response.url.host} refused {what} ({status})",
                "The dataset is public: unset HF_TOKEN if it is set, or set it to a valid token",
                code=Code.CREDENTIALS,
            )
        raise DownloadError(f"{response.url.host} answered {status} to {what}", "Try again later")

    @contextmanager
    def _network(self) -> Iterator[None]:
        """Tell failures of the network from our own."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise TransientError(f"nothing came for {self._retry.silence_s:g} s") from error
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as error:
            raise DownloadError(f"{self._endpoint.host}: {error}", "Check HF_ENDPOINT and HF_TOKEN") from error
        except httpx.TransportError as error:
            raise TransientError(f"the connection failed ({error or type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise DownloadError(f"{self._endpoint.host}: {error}", "Check HF_ENDPOINT") from error

    def _is_data(self, entry: Any, split: str) -> bool:
        if not isinstance(entry, dict) or entry.get("type") != "file":
            return False
        return isinstance(entry.get("path"), str) and self._layout.holds(split, entry["path"])

    def _file(self, entry: dict[str, Any]) -> RemoteFile:
        # A file that is not in LFS has only a git hash, SHA-1; none of the dataset's is.
        lfs = entry.get("lfs")
        size = lfs.get("size") if isinstance(lfs, dict) else None
        sha256 = lfs.get("oid") if isinstance(lfs, dict) else None
        if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
            raise self._odd(f"the SHA-256 of {entry['path']}", sha256)
        if type(size) is not int or size < 1:
            raise self._odd(f"the size of {entry['path']}", size)
        return RemoteFile(entry["path"], size, sha256)

    def _odd(self, what: str, found: Any) -> DownloadError:
        return DownloadError(
            f"{self._endpoint.host} gives no usable answer for {what}: {repr(found)[:60]}",
            "Is HF_ENDPOINT a Hugging Face Hub? If it is, try again later",
        )


@asynccontextmanager
async def connect(layout: Layout, retry: Retry, say: Callable[[str], None]) -> AsyncIterator[Hub]:
    """Open the repository of a layout at ``HF_ENDPOINT`` (default: huggingface.co), with ``HF_TOKEN`` if it is set.

    The token goes to that server alone: httpx takes it off a redirect to another origin.

    Raises:
        UsageError: ``HF_ENDPOINT`` is not a web address.
    """
    text = os.environ.get("HF_ENDPOINT", "").strip() or _HOME
    try:
        endpoint = httpx.URL(text)
    except httpx.InvalidURL:
        endpoint = httpx.URL("")
    if endpoint.scheme not in ("http", "https") or not endpoint.host:
        raise UsageError(f"HF_ENDPOINT is {text!r}, which is not a web address", f"Unset it, for {_HOME}")

    async def guard(request: httpx.Request) -> None:
        if not _is_safe(endpoint, request.url):
            raise DownloadError(
                f"{endpoint.host} leads to {request.url.scheme}://{request.url.host}, which is not safe"
            )

    # Bytes as they are stored: a compressed answer has no ranges of the file.
    headers = {"User-Agent": f"sarpipe/{__version__}", "Accept-Encoding": "identity"}
    token = os.environ.get("HF_TOKEN", "").strip()
    if not (token.isascii() and token.isprintable()):
        raise UsageError(
            "HF_TOKEN is not a token: it has characters that no token has", "Unset it: the dataset is public"
        )
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(
        headers=headers,
        verify=_certificates(),
        timeout=httpx.Timeout(retry.silence_s, pool=None),
        follow_redirects=True,
        max_redirects=5,
        event_hooks={"request": [guard]},
    ) as client:
        yield Hub(client, endpoint, layout, retry, say)


@cache
def _certificates() -> ssl.SSLContext:
    # Read once, not for each connection to the Hub: it takes 0.2 s.
    return httpx.create_ssl_context()


def _is_safe(endpoint: httpx.URL, url: httpx.URL) -> bool:
    """Whether a request may go to ``url``: to the web, and never from https down to http."""
    return url.scheme == "https" or url.scheme == endpoint.scheme == "http"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _next_page(response: httpx.Response) -> httpx.QueryParams | None:
    # Its query alone: the Hub's copies send links that lead to the Hub itself.
    link = response.links.get("next", {}).get("url")
    return httpx.URL(link).params if link else None
