from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sarpipe.model.extract import embed
from sarpipe.storage import durable, verified

_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree")


class Died(BaseException):
    """From here on the process would do nothing any more."""


class _Life:
    """How many operations below a folder are left, and whether they are over."""

    def __init__(self) -> None:
        self.below = ""
        self.left = 0
        self.dead = False

    def watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.below or event not in _EVENTS or not self._concerns(arguments):
            return
        self.left -= 1
        if self.left < 0:
            # Whatever would put things away on the way out fails likewise, as it would not be done after a kill.
            self.dead = True
            raise Died

    def _concerns(self, arguments: tuple[Any, ...]) -> bool:
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        text = os.fsdecode(path)
        # A relative name: within a folder that is being removed.
        return text.startswith(self.below) or (not os.path.isabs(text) and arguments[-1] not in (-1, None))


_life = _Life()
_hooked: list[bool] = []


@contextmanager
def _dying_after(operations: int, below: Path) -> Iterator[_Life]:
    """Die at the operation on files below a folder that comes after so many others, all of which were done.

    What the body of the block leaves is what a kill would leave, but for bytes that Python or a library still had in
    a buffer; what the process remembered of files is forgotten.
    """
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_life.watch)
    durable._synced.clear()
    _life.below, _life.left, _life.dead = f"{below}{os.sep}", operations, False
    try:
        yield _life
    except Died:
        pass
    finally:
        _life.below = ""
        verified._sha256.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def small_passes() -> Iterator[None]:
    """Passes of as many places as a tiny set has: of 256 each would cost seconds. Other tests have the usual ones."""
    defaults = dict(embed.__kwdefaults__)
    embed.__kwdefaults__["batch_size"] = 8
    yield
    embed.__kwdefaults__.update(defaults)


@pytest.fixture(scope="session")
def dying_after() -> Callable[[int, Path], AbstractContextManager[Any]]:
    """A process that dies at a file operation, within a process that goes on."""
    return _dying_after
