"""What a store is called: its file name without the suffix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

from sarpipe.errors import UsageError
from sarpipe.storage.remote import RemotePath

SUFFIXES = (".zarr.zip", ".zarr", ".tar")
MAX_NAME_BYTES = 200
"""A folder's name has at most 255, and ours add a key and a mark of what is not finished."""
_NAME = re.compile(r"\w[\w .,()+=@-]{0,119}")
_TAKEN = frozenset({"set"})
"""Folders beside those of the stores are called so: the set of all places is ``set-<key>``."""


class Named(Protocol):
    """A path, or a group of files."""

    @property
    def name(self) -> str:
        """Its last part, or the name of the group."""


N = TypeVar("N", bound=Named)
P = TypeVar("P", Path, RemotePath)


def store_name(store: Named) -> str:
    """The file name without ``.zarr.zip``, ``.zarr`` or ``.tar``; the name of a group, which has none of them."""
    for suffix in SUFFIXES:
        if store.name.endswith(suffix):
            return store.name.removesuffix(suffix)
    return store.name


def is_store_name(name: str) -> bool:
    """Whether a store of this name can be worked on: it names folders and stands in tables and lists, so it begins with
    a letter, a digit or ``_`` and holds besides these only spaces and ``.,()+=@-``, 120 characters at most. Nor is it
    ``set``, whose unit would have the name of a set.
    """
    return _NAME.fullmatch(name) is not None and len(name.encode()) <= MAX_NAME_BYTES and name not in _TAKEN


def in_order(stores: Iterable[N]) -> list[N]:
    """Sorted by name, and of one name by where they lie."""
    return sorted(stores, key=lambda store: (store_name(store), str(store)))


def where_listed(here: P, name: str) -> list[P]:
    """Where a store may lie that a split list in this folder names: beside it, or where a download puts it."""
    split = "val" if "_val_" in name else "train"
    folders = (here, here / f"{split}/S1GRD", here.parent / f"{split}/S1GRD")
    return list(dict.fromkeys(folder / name for folder in folders))


def check_names(stores: Iterable[Named]) -> None:
    """See that no two stores in order have one name.

    Raises:
        UsageError: Two have.
    """
    for one, other in pairwise(stores):
        if store_name(one) == store_name(other):
            raise UsageError(f"{one} and {other} have one name", "Keep one of them, or name it in a glob")
