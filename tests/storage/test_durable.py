from __future__ import annotations

from pathlib import Path

import pytest

from sarpipe.errors import StorageError
from sarpipe.storage.durable import write_bytes


def test_write_bytes_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "note.json"
    write_bytes(path, b"a longer text")
    write_bytes(path, b"short")

    assert path.read_bytes() == b"short"
    assert list(path.parent.iterdir()) == [path]


def test_write_bytes_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "folder").mkdir()

    for path in (tmp_path / "file" / "note.json", tmp_path / "folder"):
        with pytest.raises(StorageError, match="cannot write") as caught:
            write_bytes(path, b"x")
        assert str(path) in caught.value.message
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
