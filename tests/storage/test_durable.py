from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sarpipe.codes import Code
from sarpipe.errors import StorageError
from sarpipe.storage import durable, mirror
from sarpipe.storage.durable import exchange, is_abandoned, make_folder, temporaries, write_bytes, write_out
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


def full(folder: Path) -> Path:
    """Leave no room on a small disk."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    return folder


HOWS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: write_bytes(path, bytes(50_000)),
    "a writer": lambda path: write_out(path, lambda file: file.write_bytes(bytes(50_000))),
}


@pytest.mark.parametrize("how", HOWS)
def test_a_full_disk_leaves_the_old_file(disk: Callable[[str], Path], how: str) -> None:
    folder = disk("size=256k")
    path = folder / "page.html"
    path.write_bytes(b"the old page")
    full(folder)
    with pytest.raises(StorageError) as caught:
        HOWS[how](path)
    assert caught.value.code == Code.DISK_FULL
    assert path.read_bytes() == b"the old page"
    assert sorted(one.name for one in folder.iterdir()) == ["filler", "page.html"]


def test_a_file_is_nobodys_to_remove_while_it_is_written_and_what_a_kill_left_goes(tmp_path: Path) -> None:
    left, path = tmp_path / ".tmp-page.html-1-01234567", tmp_path / "page.html"
    left.write_bytes(b"half")

    def write(file: Path) -> None:
        assert not left.exists()
        assert temporaries(tmp_path, path.name) == [file]
        assert not is_abandoned(file)
        file.write_bytes(b"all of it")

    write_out(path, write)
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    assert path.read_bytes() == b"all of it"


def test_a_file_behind_a_link_is_replaced_and_a_device_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_bytes(b"old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    write_out(tmp_path / "link.csv", lambda file: file.write_bytes(b"new"))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == b"new"
    (tmp_path / "full.csv").symlink_to("/dev/full")
    with pytest.raises(StorageError) as caught:
        write_out(tmp_path / "full.csv", lambda file: file.write_bytes(b"x"))
    assert caught.value.code == Code.DISK_FULL
    assert Path("/dev/full").is_char_device()


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
