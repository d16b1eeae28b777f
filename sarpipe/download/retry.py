"""How long to wait for a server that fails, and how often."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from sarpipe.codes import Code
from sarpipe.errors import DownloadError


@dataclass(frozen=True)
class Retry:
    """Exponential back-off with jitter, within bounds.

    Attributes:
        attempts: So many failures in a row, and it is given up.
        base_s: Wait after the first failure; doubled after each other one, and up to half of it taken off by chance,
            so that clients which failed together do not come back together.
        cap_s: No wait is longer, but one that the server asks for.
        asked_cap_s: A wait that the server asks for is cut to this. The Hub counts in windows of five minutes.
        silence_s: A connection on which nothing comes for so long has failed.
    """

    attempts: int = 5
    base_s: float = 1.0
    cap_s: float = 60.0
    asked_cap_s: float = 300.0
    silence_s: float = 30.0

    def wait_s(self, failures: int, asked_s: float | None) -> float:
        """Seconds to wait after so many failures in a row (from 1); ``asked_s`` is what the server asked for."""
        if asked_s is not None:
            return min(asked_s, self.asked_cap_s)
        # No secret hangs on the jitter.
        return min(self.cap_s, self.base_s * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)  # noqa: S311


class TransientError(Exception):
    """A failure that may pass: the connection broke, or the server is busy."""

    def __init__(self, reason: str, asked_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.asked_s = asked_s


class UnreachableError(DownloadError):
    """It failed as often as it may."""

    code = Code.REMOTE


class Attempts:
    """The failures in a row of one job."""

    def __init__(self, what: str, retry: Retry, say: Callable[[str], None]) -> None:
        self._what = what
        self._retry = retry
        self._say = say
        self._failures = 0

    def progressed(self) -> None:
        """It went on: the failures before count no longer."""
        self._failures = 0

    async def wait(self, error: TransientError) -> None:
        """Wait before the next attempt.

        Raises:
            UnreachableError: That was the last one.
        """
        self._failures += 1
        if self._failures >= self._retry.attempts:
            raise UnreachableError(
                f"{self._what}: given up after {self._failures} attempts: {error.reason}",
                "What came is kept. Check the network (HTTPS_PROXY, HF_ENDPOINT), and run it again to go on",
            ) from error
        seconds = self._retry.wait_s(self._failures, error.asked_s)
        self._say(f"{error.reason}: again in {seconds:.0f} s")
        await asyncio.sleep(seconds)


def asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, from ``Retry-After`` (seconds or a date) or the Hub's ``RateLimit``.

    Source: RFC 9110 section 10.2.3; huggingface.co/docs/hub/rate-limits (``RateLimit: "resolvers";r=0;t=55``).
    """
    after = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", after):
        return float(after)
    if after:
        try:
            return max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
        except ValueError:
            return None
    limit = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*([0-9]{1,9})", headers.get("ratelimit", ""))
    return float(limit[1]) if limit else None
