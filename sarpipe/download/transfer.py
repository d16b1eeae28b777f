"""One file from the Hub to its place."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sarpipe.codes import Code
from sarpipe.download.hub import Hub, RangeError, RemoteFile
from sarpipe.download.meter import Meter
from sarpipe.download.part import Part, open_part
from sarpipe.download.retry import Attempts, Retry, TransientError
from sarpipe.errors import DownloadError

_PROGRESS_BYTES = 2**20
"""So much more, and the failures before count no longer: a big file over a bad line comes to its end."""


class ContentError(DownloadError):
    """The bytes that came are not those that the Hub lists."""


async def transfer(hub: Hub, commit: str, file: RemoteFile, target: Path, retry: Retry, meter: Meter) -> None:
    """Fetch a file, or the rest of it, verify all of it, and put it in place.

    Raises:
        ContentError: The SHA-256 is wrong, twice. Nothing is kept.
        DownloadError: The Hub cannot be reached, or refuses. What came is kept.
        StorageError: The disk is full, or the folder cannot be written to. What came is kept.
    """
    with open_part(target, file) as part:
        await asyncio.to_thread(part.read)
        if part.bytes > file.bytes:
            part.restart()
        meter.moved(part.bytes, received=False)
        for last in (False, True):
            await _complete(hub, commit, file, part, retry, meter)
            if (part.bytes, part.sha256) == (file.bytes, file.sha256):
                await asyncio.to_thread(part.put_in_place, target)
                return
            found = f"SHA-256 {part.sha256} of {part.bytes} bytes"
            _restart(part, meter)
            if last:
                part.remove()
                raise ContentError(
                    f"{file.path} came wrong twice: {found}, not SHA-256 {file.sha256} of {file.bytes} bytes",
                    "The server, or something on the way to it, is broken: try again later",
                    code=Code.CHECKSUM,
                )
            meter.say(f"{file.name} came wrong: again from its start")


async def _complete(hub: Hub, commit: str, file: RemoteFile, part: Part, retry: Retry, meter: Meter) -> None:
    """Fetch until the part is as long as the file."""
    attempts = Attempts(file.name, retry, meter.say)
    while part.bytes < file.bytes:
        before = part.bytes
        try:
            await _receive(hub, commit, file, part, meter)
            if part.bytes < file.bytes:
                raise TransientError(f"the answer ended after {part.bytes} of {file.bytes} bytes")
        except TransientError as error:
            if isinstance(error, RangeError):
                _restart(part, meter)
            if part.bytes - before >= _PROGRESS_BYTES:
                attempts.progressed()
            await attempts.wait(error)


async def _receive(hub: Hub, commit: str, file: RemoteFile, part: Part, meter: Meter) -> None:
    async with hub.content(commit, file, part.bytes) as (start, pieces):
        if start != part.bytes:
            _restart(part, meter)
        async for piece in pieces:
            part.append(piece)
            meter.moved(len(piece))
            if part.bytes > file.bytes:
                return


def _restart(part: Part, meter: Meter) -> None:
    meter.moved(-part.bytes, received=False)
    part.restart()
