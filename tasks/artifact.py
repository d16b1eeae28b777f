"""Artifacts of a run that are kept up to date in their place, and the keys by which the Prefect UI groups them."""

from __future__ import annotations

import base64
import re
import shlex
import time
from pathlib import Path
from uuid import UUID

from httpx import HTTPError
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger

from sarpipe.settings import Settings
from sarpipe.storage import address, digest_json, is_url

_SHARE = 0.05
"""Of the time of a run, at most, that updates may take."""
_LONGEST_SECONDS = 300.0
"""Between two updates, however long the last one took: one that a server fails takes a minute of attempts."""
_PORT = 8300
"""At which the report is served by who wants to see it."""
_REFUSED = "the Prefect server does not take what this run would show (%s)"
_MARKUP = re.compile(r"([\\`*\[\]<>|])")


def artifact_key(kind: str, settings: Settings, name: str) -> str:
    """The key of an artifact: the UI shows the latest of each key, so runs that go to another folder of output or have
    another recipe or preset have keys of their own.

    Args:
        kind: What it is, ``stores``.
        settings: Of the run.
        name: Of the recipe or the preset.

    Returns:
        ``stores-nightly-sar-3fa2c1`` where the folder of output is ``nightly``: lower-case letters, digits, dashes.
    """
    where = settings.data_url or str(settings.data)
    words = re.sub(r"[^a-z0-9]+", "-", f"{kind}-{where.rstrip('/').rpartition('/')[2]}-{name}".lower()).strip("-")
    return f"{words[:80]}-{digest_json([where, settings.cubes_folder.name, name])[:6]}"


def plain(text: str) -> str:
    """Text from data, for a place where the UI reads Markdown."""
    return _MARKUP.sub(r"\\\1", text)


def picture(image: bytes, kind: str, words: str) -> str:
    """An image in Markdown, the bytes in the text: of an image artifact the UI writes all of that out beside it."""
    return f"![{plain(words)}](data:image/{kind};base64,{base64.b64encode(image).decode()})"


def page_link(page: Path) -> str:
    """How to open a page, in Markdown. No browser follows a link from a server's page to a file: it is to be served."""
    there = address(page)
    if is_url(there):
        return f"[{page.name}]({there})" if there.startswith("http") else f"`{there}`"
    serve = shlex.join(
        ["python3", "-m", "http.server", str(_PORT), "--bind", "127.0.0.1", "--directory", str(page.parent)]
    )
    here = f"http://127.0.0.1:{_PORT}"
    return (
        f"`{page}`\n\nA browser does not open a file from here. On the machine where it lies, type\n\n"
        f"```\n{serve}\n```\n\nand open [{here}/{page.name}]({here}/{page.name}); from another machine through the "
        f"tunnel by which you see this page (`ssh -L {_PORT}:127.0.0.1:{_PORT} MACHINE`)."
    )


def show(artifact: Artifact) -> UUID | None:
    """Make an artifact of the run under way; its id. Where the server does not take it, work goes on all the same."""
    try:
        return artifact.create().id  # type: ignore[union-attr]
    except HTTPError as error:
        get_run_logger().warning(_REFUSED, type(error).__name__)
        return None


class LiveArtifact:
    """An artifact that is kept up to date, at most every so many seconds and a twentieth of the time.

    Args:
        first: As it is at first.
        every_seconds: How often it may change.
    """

    def __init__(self, first: Artifact, every_seconds: float) -> None:
        self._every = every_seconds
        self._log = get_run_logger()
        began = time.monotonic()
        self._id = show(first)
        # The first request of a process is a slow one and says nothing of the next, unless it fails.
        self._next = time.monotonic() + every_seconds if self._id else self._after(began)

    @property
    def due(self) -> bool:
        """Whether it may change again."""
        return time.monotonic() >= self._next

    def update(self, now: Artifact) -> None:
        """Show it as it is now. Where the server does not answer, work goes on all the same."""
        began = time.monotonic()
        if self._id is None:
            # It is made as soon as the server takes it. One that took it and could not say so has it twice, by one key.
            self._id = show(now)
        else:
            self._change(self._id, now)
        self._next = self._after(began)

    def _after(self, began: float) -> float:
        """When it may change again, after a request that began then and has just ended."""
        ended = time.monotonic()
        return ended + min(max(self._every, (ended - began) / _SHARE), _LONGEST_SECONDS)

    def _change(self, artifact: UUID, now: Artifact) -> None:
        document = {"data": now.format(), "description": now.description}
        try:
            with get_client(sync_client=True) as client:
                # The client's own update_artifact sends all of it as an event too, which the server keeps for a week.
                client.request("PATCH", "/artifacts/{id}", json=document, path_params={"id": artifact})
        except HTTPError as error:
            self._log.warning(_REFUSED, type(error).__name__)
