"""How far a download is."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.filesize import decimal

Progress = Callable[[str, int, int, str], None]
"""Takes the job's name, how many of its parts are done, how many there are, and a note."""


class Meter:
    """Counts files and bytes, and tells them to a `Progress`.

    Args:
        files: How many files there are to do.
        total: Their bytes.
        progress: Told at every change.
    """

    def __init__(self, files: int, total: int, progress: Progress) -> None:
        self._files = files
        self._total = total
        self._progress = progress
        self._done = 0
        self._bytes = 0
        self._said = ""
        self._began = time.monotonic()
        self.received = 0

    def moved(self, count: int, *, received: bool = True) -> None:
        """More bytes are there (fewer, where ``count`` is negative); ``received``: they came over the network."""
        self._bytes += count
        if received:
            self.received += count
            self._said = ""
        self._tell()

    def finished(self) -> None:
        """One file more is done."""
        self._done += 1
        self._tell()

    def say(self, text: str) -> None:
        """Show why nothing comes, until something comes."""
        self._said = text
        self._tell()

    def _tell(self) -> None:
        rate = self.received / max(time.monotonic() - self._began, 0.1)
        note = self._said or f"{decimal(self._bytes)} of {decimal(self._total)}, {decimal(int(rate))}/s"
        self._progress("download", self._done, self._files, note)
