from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sarpipe.errors import StorageError
from sarpipe.storage import durable, mirror
from sarpipe.storage.durable import exchange, make_folder, write_bytes
from sarpipe.storage.mirror import write_small


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


def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths that are synced from now on."""
    paths: list[Path] = []
    for module in (durable, mirror):
        monkeypatch.setattr(module, "fsync_path", paths.append)
    return paths


def test_the_name_of_a_folder_that_a_killed_maker_has_left_is_synced_once_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "left").mkdir()
    paths = synced(monkeypatch)
    make_folder(tmp_path / "left")
    make_folder(tmp_path / "left")
    assert paths == [tmp_path]
    make_folder(tmp_path / "left" / "one" / "two")
    assert paths == [tmp_path, tmp_path / "left", tmp_path / "left" / "one"]
    shutil.rmtree(tmp_path / "left" / "one")
    make_folder(tmp_path / "left" / "one")
    assert paths[3:] == [tmp_path / "left"]


def test_the_name_of_a_small_file_that_is_as_it_shall_be_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "note.json").write_bytes(b"{}")
    before = (tmp_path / "note.json").stat().st_ino
    paths = synced(monkeypatch)
    write_small(tmp_path / "note.json", b"{}")
    assert paths == [tmp_path]
    assert (tmp_path / "note.json").stat().st_ino == before


def test_two_folders_change_places_or_nothing_is_changed(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    if exchange(tmp_path / "one", tmp_path / "other"):
        assert [(tmp_path / name / "file").read_text() for name in ("one", "other")] == ["other", "one"]
    else:
        assert [(tmp_path / name / "file").read_text() for name in ("one", "other")] == ["one", "other"]
    if durable._renameat2() is not None:
        with pytest.raises(FileNotFoundError):
            exchange(tmp_path / "one", tmp_path / "none")
