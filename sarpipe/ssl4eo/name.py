"""What a store is called: its file name without the suffix."""

from __future__ import annotations

from pathlib import Path

from sarpipe.storage import RemotePath

SUFFIXES = (".zarr.zip", ".zarr", ".tar")


def store_name(path: Path | RemotePath) -> str:
    """The file name without ``.zarr.zip``, ``.zarr`` or ``.tar``."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return path.name
