"""Ctrl-C and SIGTERM as a request to stop between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Notes the first of `SIGNALS` for the time of a ``with`` block; the second has its usual effect at once.

    Only in the main thread, where alone Python runs handlers; elsewhere nothing is changed. A signal that is ignored
    stays so. The handlers from before are put back at the end.

    Args:
        patient: A second signal changes nothing: torchrun hands each on to processes that may have had it already, and
            kills them by itself when they take too long.

    Attributes:
        signal: What came, or None.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # None: it was not installed from Python, so it cannot be put back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def deliver(self) -> None:
        """Let the signal that came have the effect that it would have had without us."""
        self.__exit__(None, None, None)
        if self.signal is not None:
            signal.raise_signal(self.signal)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self.signal is not None
        self.signal = signal.Signals(number)
        if again and not self._patient:
            self.deliver()
