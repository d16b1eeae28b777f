"""The record beside the files: where each came from. No decision hangs on it; files are hashed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sarpipe.download.dataset import CITATION, LICENCE, NAME, Layout
from sarpipe.download.hub import RemoteFile
from sarpipe.errors import DamagedError
from sarpipe.storage.durable import write_bytes

RECORD = "download.json"


def read_record(root: Path) -> dict[str, Any]:
    """The files of a record: path to repository, commit, bytes and SHA-256. Empty where there is no record.

    Raises:
        DamagedError: It is not a record.
    """
    path = root / RECORD
    try:
        files = json.loads(path.read_bytes())["files"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError):
        files = None
    if not isinstance(files, dict):
        raise DamagedError(f"{path} is damaged", "Move it away: it is written again, for what is fetched or verified")
    return files


def write_record(root: Path, layout: Layout, commit: str, verified: Iterable[RemoteFile]) -> None:
    """Put files that were fetched or verified now into the record; others in it stay.

    Raises:
        StorageError: The disk is full, or the folder cannot be written to.
    """
    files = read_record(root)
    for file in verified:
        files[file.path] = {
            "repository": layout.repository,
            "commit": commit,
            "bytes": file.bytes,
            "sha256": file.sha256,
        }
    document = {"dataset": NAME, "licence": LICENCE, "citation": CITATION, "files": dict(sorted(files.items()))}
    write_bytes(root / RECORD, (json.dumps(document, indent=1) + "\n").encode())
