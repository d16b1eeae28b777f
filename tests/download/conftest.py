"""A Hub on this machine: the listing and the links on one port, the content on another, as the real one has it."""

from __future__ import annotations

import hashlib
import json
import random
import re
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from sarpipe.download import Outcome, Retry, fetch, make_plan, select

REPOSITORY = "embed2scale/SSL4EO-S12-v1.1-Zarr"


@dataclass
class Asked:
    """A request that the server saw, and the bytes of content that it sent back."""

    path: str
    headers: dict[str, str]
    sent: int = 0


@dataclass
class FakeHub:
    """Serves `files` by commit. ``faults`` holds, by file name or ``"api"``, what goes wrong with the next requests."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branch: str = "1" * 40
    repository: str = REPOSITORY
    page: int = 1000
    sizes: dict[str, int] = field(default_factory=dict)
    extra: list[Any] = field(default_factory=list)
    faults: dict[str, list[Callable[[Any, bytes, int], None]]] = field(default_factory=lambda: defaultdict(list))
    location: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    api: list[Asked] = field(default_factory=list)
    links: list[Asked] = field(default_factory=list)
    content: list[Asked] = field(default_factory=list)
    endpoint: str = ""
    cdn: str = ""

    def add(self, *names: str, split: str = "val", size: int = 200_000, commit: str | None = None) -> list[bytes]:
        """Publish files of random bytes."""
        contents = [random.Random(f"{name}{commit}").randbytes(size) for name in names]
        files = self.commits.setdefault(commit or self.branch, {})
        files.update({f"{split}/S1GRD/{name}": content for name, content in zip(names, contents, strict=True)})
        return contents

    def sent(self, name: str) -> list[tuple[str | None, int]]:
        """Each request for a file's content: the range that was asked for, and the bytes that were sent."""
        return [(asked.headers.get("Range"), asked.sent) for asked in self.content if asked.path.endswith(name)]

    def listing(self, commit: str, folder: str) -> list[Any]:
        rows: list[Any] = [{"type": "directory", "path": f"{folder}/more", "size": 0, "oid": "0" * 40}, *self.extra]
        for path, content in self.commits[commit].items():
            if path.startswith(f"{folder}/"):
                size = self.sizes.get(path, len(content))
                lfs = {"oid": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 130}
                rows.append(
                    {"type": "file", "path": path, "size": size, "oid": "0" * 40, "lfs": lfs, "xetHash": "0" * 64}
                )
        return rows


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: FakeHub
    asked: Asked

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.send(body)

    def send(self, body: bytes) -> None:
        self.wfile.write(body)
        self.asked.sent += len(body)

    def see(self, log: list[Asked]) -> str:
        self.asked = Asked(unquote(urlsplit(self.path).path), dict(self.headers))
        log.append(self.asked)
        return self.asked.path


class _HubHandler(_Handler):
    def do_GET(self) -> None:
        hub = self.hub
        log = hub.api if self.path.startswith("/api/") else hub.links
        path = self.see(log)
        if log is hub.api and hub.faults["api"]:
            hub.faults["api"].pop(0)(self, b"", 0)
        elif match := re.fullmatch(f"/api/datasets/{hub.repository}/revision/(.+)", path):
            commit = hub.branch if match[1] == "main" else match[1]
            known = commit in hub.commits
            self.answer(200, json.dumps({"sha": commit}).encode()) if known else self.answer(404)
        elif match := re.fullmatch(f"/api/datasets/{hub.repository}/tree/([0-9a-f]{{40}})/(.+)", path):
            self.page(match[1], match[2])
        elif match := re.fullmatch(f"/datasets/{hub.repository}/resolve/([0-9a-f]{{40}})/(.+)", path):
            content = hub.commits[match[1]].get(match[2])
            if content is None:
                self.answer(404)
                return
            sha256 = hashlib.sha256(content).hexdigest()
            where = hub.location or f"{hub.cdn}/{match[1]}/{match[2]}?signature=x"
            self.answer(302, Location=where, X_Repo_Commit=match[1], X_Linked_Etag=f'"{sha256}"')
        else:
            self.answer(400)

    def page(self, commit: str, folder: str) -> None:
        start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        rows = self.hub.listing(commit, folder)
        headers = {}
        if start + self.hub.page < len(rows):
            # As the real one says it, with an address of its own.
            headers["Link"] = f'<https://huggingface.co/any?cursor={start + self.hub.page}&limit=9>; rel="next"'
        self.answer(200, json.dumps(rows[start : start + self.hub.page]).encode(), **headers)


class _ContentHandler(_Handler):
    def do_GET(self) -> None:
        _, commit, path = self.see(self.hub.content).split("/", 2)
        content = self.hub.commits[commit][path]
        start = int(re.fullmatch("bytes=([0-9]+)-", self.headers.get("Range", "bytes=0-"))[1])  # type: ignore[index]
        faults = self.hub.faults[path.rpartition("/")[2]]
        if faults:
            faults.pop(0)(self, content, start)
        elif start >= len(content):
            self.answer(416, Content_Range=f"bytes */{len(content)}")
        else:
            self.begin(content, start)
            self.send(content[start:])

    def begin(self, content: bytes, start: int) -> None:
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()


class Faults:
    """What can go wrong with one request."""

    @staticmethod
    def status(code: int, **headers: str) -> Callable[[Any, bytes, int], None]:
        return lambda handler, content, start: handler.answer(code, **headers)

    @staticmethod
    def cut(count: int) -> Callable[[Any, bytes, int], None]:
        """Send so many bytes and close."""

        def fault(handler: Any, content: bytes, start: int) -> None:
            handler.begin(content, start)
            handler.send(content[start : start + count])
            handler.close_connection = True

        return fault

    @staticmethod
    def reset(handler: Any, content: bytes, start: int) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True

    @staticmethod
    def wrong(handler: Any, content: bytes, start: int) -> None:
        handler.begin(content, start)
        handler.send(bytes(byte ^ 1 for byte in content[start:]))

    @staticmethod
    def ignores_the_range(handler: Any, content: bytes, start: int) -> None:
        handler.answer(200, content)

    @staticmethod
    def another_range(handler: Any, content: bytes, start: int) -> None:
        handler.answer(206, content[1:], Content_Range=f"bytes 1-{len(content) - 1}/{len(content)}")

    @staticmethod
    def too_long(handler: Any, content: bytes, start: int) -> None:
        handler.answer(200, content + b"more")

    @staticmethod
    def hang(count: int) -> Callable[[Any, bytes, int], None]:
        """Send so many bytes, and no more until the hub's ``released`` is set."""

        def fault(handler: Any, content: bytes, start: int) -> None:
            handler.begin(content, start)
            handler.send(content[start : start + count])
            handler.hub.released.wait(60)
            handler.close_connection = True

        return fault


@pytest.fixture
def faults() -> type[Faults]:
    return Faults


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub at HF_ENDPOINT."""
    hub = FakeHub()
    servers = []
    for handler in (_HubHandler, _ContentHandler):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"hub": hub}))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
    hub.endpoint, hub.cdn = (f"http://127.0.0.1:{server.server_port}" for server, _ in servers)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield hub
    hub.released.set()
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


Download = Callable[..., Outcome]


@pytest.fixture
def download(tmp_path: Path) -> Download:
    """Plan and fetch into ``tmp_path``, without waits between attempts."""

    def call(*stores: str, retry: Retry | None = None, jobs: int = 2, **selection: Any) -> Outcome:
        retry = retry or Retry(base_s=0.0, silence_s=5.0)
        plan = make_plan(tmp_path, select(stores=stores, **selection), lambda *_: None, retry=retry)
        return fetch(plan, lambda *_: None, jobs=jobs, retry=retry)

    return call
