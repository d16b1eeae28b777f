from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sarpipe.errors import DataError, StorageError
from sarpipe.ssl4eo import open_archive
from sarpipe.ssl4eo.archive import open_zip

Write = Callable[[Path, Mapping[str, bytes]], Path]
FILES = {".zgroup": b"{}", "bands/.zarray": b"{ }", "bands/0.0": bytes(range(200))}


@pytest.mark.parametrize("name", ["s.zarr.zip", "s.zarr"])
def test_files_are_read_as_they_were_written(tmp_path: Path, write_store: Write, name: str) -> None:
    path = write_store(tmp_path / name, FILES)
    archive = open_archive(path)

    assert {name: archive.read(name) for name in archive.records} == FILES
    on_disk = path.stat().st_size if path.is_file() else sum(map(len, FILES.values()))
    assert archive.source_bytes == on_disk
    assert "bands/0.0" in archive
    assert "bands/0.1" not in archive
    with pytest.raises(DataError, match=r"no file bands/0\.1"):
        archive.read("bands/0.1")


@pytest.mark.parametrize("suffix", [".zarr.zip", ".zarr"])
def test_the_fingerprint_is_of_names_and_bytes_alone(tmp_path: Path, write_store: Write, suffix: str) -> None:
    def fingerprint(name: str, files: Mapping[str, bytes]) -> str:
        return open_archive(write_store(tmp_path / (name + suffix), files)).fingerprint

    first = fingerprint("one", FILES)
    assert fingerprint("two", dict(reversed(FILES.items()))) == first
    assert fingerprint("three", {**FILES, "bands/0.0": bytes(200)}) != first
    assert fingerprint("four", {**FILES, "bands/0.1": b""}) != first


def test_what_does_not_exist_is_said(tmp_path: Path) -> None:
    for name in ("gone.zarr", "gone.zarr.zip"):
        with pytest.raises(DataError, match=f"{name} does not exist"):
            open_archive(tmp_path / name)


def test_a_folder_is_known_again_wherever_its_times_are(tmp_path: Path, write_store: Write) -> None:
    path = write_store(tmp_path / "s.zarr", FILES)
    first = open_archive(path, tmp_path / "sources")
    for file in path.rglob("*"):
        os.utime(file, (0, 0))

    again = open_archive(path, tmp_path / "sources")
    assert again == first
    assert again.read("bands/0.0") == FILES["bands/0.0"]
    assert len(list((tmp_path / "sources").iterdir())) == 1


def test_two_folders_of_one_name_do_not_share_a_note(tmp_path: Path, write_store: Write) -> None:
    for place, files in (("a", FILES), ("b", {**FILES, "bands/0.0": b"other"})):
        archive = open_archive(write_store(tmp_path / place / "s.zarr", files), tmp_path / "sources")
        assert archive.read("bands/0.0") == files["bands/0.0"]


def test_a_bit_that_flips_after_first_sight_is_noticed(tmp_path: Path, write_store: Write) -> None:
    path = write_store(tmp_path / "s.zarr", FILES)
    archive = open_archive(path, tmp_path / "sources")
    write_store(path, {"bands/0.0": bytes([1, *range(1, 200)])})

    with pytest.raises(DataError, match=r"bands/0\.0 is not what it was") as caught:
        archive.read("bands/0.0")
    assert str(path) in caught.value.message
    # What was made of it before is not taken for what it holds now.
    with pytest.raises(DataError, match=r"'bands/0\.0' is not what it was .*\(other bytes, as many; 1 files differ\)"):
        open_archive(path, tmp_path / "sources")

    # As the hint says: its note deleted, the store is taken as it is now.
    shutil.rmtree(tmp_path / "sources")
    assert open_archive(path, tmp_path / "sources").read("bands/0.0")[0] == 1


@pytest.mark.parametrize("change", ["cut", "gone", "new"])
def test_a_folder_that_changes_after_first_sight_is_refused(tmp_path: Path, write_store: Write, change: str) -> None:
    path = write_store(tmp_path / "s.zarr", FILES)
    open_archive(path, tmp_path / "sources")
    file = path / "bands" / "0.0"
    {"cut": lambda: os.truncate(file, 10), "gone": file.unlink, "new": (path / "bands" / "0.1").touch}[change]()

    with pytest.raises(DataError, match=r"0\.[01]' is not what it was when the store was first seen") as caught:
        open_archive(path, tmp_path / "sources")
    (note,) = (tmp_path / "sources").iterdir()
    assert f"sources/{note.name}" in caught.value.hint


def test_a_file_that_vanishes_while_it_is_read_is_said(tmp_path: Path, write_store: Write) -> None:
    archive = open_archive(write_store(tmp_path / "s.zarr", FILES))
    (tmp_path / "s.zarr" / "bands" / "0.0").unlink()

    with pytest.raises(DataError, match=r"bands/0\.0 cannot be read: No such file"):
        archive.read("bands/0.0")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"files": {"a": 1}}', b'{"files": {}, "checksum": "0"}'])
def test_a_damaged_note_is_said_and_not_trusted(tmp_path: Path, write_store: Write, damage: bytes) -> None:
    path = write_store(tmp_path / "s.zarr", FILES)
    open_archive(path, tmp_path / "sources")
    (note,) = (tmp_path / "sources").iterdir()
    note.write_bytes(damage)

    with pytest.raises(DataError, match="is damaged") as caught:
        open_archive(path, tmp_path / "sources")
    assert str(note) in caught.value.message
    assert "Delete it" in caught.value.hint


def test_a_ledger_that_cannot_be_written_is_not_the_stores_fault(tmp_path: Path, write_store: Write) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="cannot write"):
        open_archive(write_store(tmp_path / "s.zarr", FILES), tmp_path / "file" / "sources")


def test_a_zip_cut_anywhere_is_refused(tmp_path: Path, write_store: Write) -> None:
    path = write_store(tmp_path / "s.zarr.zip", FILES)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="not a whole zip") as caught:
            open_archive(path)
        assert str(path) in caught.value.message
        assert "\n" not in str(caught.value)


def test_no_flipped_bit_of_a_zip_goes_unnoticed(tmp_path: Path, write_store: Write) -> None:
    # Names of 18 letters make entries of 64 bytes in the directory, so one flipped bit of a length may swallow one.
    path = write_store(tmp_path / "s.zarr.zip", {"center_lat/.zarray": b"{ }", "center_lon/.zarray": b"abc"})
    whole = path.read_bytes()

    def contents() -> dict[str, bytes]:
        archive = open_archive(path)
        return {name: archive.read(name) for name in archive.records}

    before = contents()
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with contextlib.suppress(DataError):
                assert contents() == before


def test_a_zip_that_is_replaced_while_it_is_read_is_said(tmp_path: Path, write_store: Write) -> None:
    archive = open_archive(write_store(tmp_path / "s.zarr.zip", FILES))
    write_store(tmp_path / "s.zarr.zip", {**FILES, "bands/0.0": bytes(200)})

    with pytest.raises(DataError, match="was replaced"):
        archive.read("bands/0.0")


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zarr.zip", "w") as bundle:
        bundle.writestr(".zgroup", b"{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            bundle.writestr(".zgroup", b"[]")

    with pytest.raises(DataError, match="twice"):
        open_archive(tmp_path / "s.zarr.zip")


@pytest.mark.parametrize("headers", [True, False])
def test_a_file_whose_name_was_damaged_into_that_of_a_folder_is_missed(
    tmp_path: Path, write_store: Write, headers: bool
) -> None:
    path = write_store(tmp_path / "s.zarr.zip", {**FILES, "lat/0": b"8 bytes."})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"lat/0") + 4] = ord("/")
    path.write_bytes(data)

    with path.open("rb") as file, pytest.raises(DataError, match="not a whole zip"):
        open_zip(file, path, headers=headers)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_of_which_no_store_is_are_refused(tmp_path: Path, packing: int) -> None:
    with zipfile.ZipFile(tmp_path / "s.zarr.zip", "w", packing) as bundle:
        bundle.writestr(".zgroup", b"{}")

    with pytest.raises(DataError, match="packed in a way"):
        open_archive(tmp_path / "s.zarr.zip")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a\nb", "C:\\x"])
def test_names_that_point_elsewhere_are_only_names(tmp_path: Path, write_store: Write, name: str) -> None:
    before = sorted(tmp_path.parent.iterdir())
    archive = open_archive(write_store(tmp_path / "s.zarr.zip", {**FILES, name: b"x"}))

    assert archive.read(".zgroup") == b"{}"
    assert sorted(tmp_path.parent.iterdir()) == before


def test_a_member_larger_than_any_of_the_data_set_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "0").open("wb") as file:
        file.truncate(161 * 1024 * 1024)
    (tmp_path / "s.zarr").mkdir()
    (tmp_path / "0").rename(tmp_path / "s.zarr" / "0")

    with pytest.raises(DataError, match="larger than any store"):
        open_archive(tmp_path / "s.zarr")


def test_a_member_that_inflates_to_more_than_it_declares_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("bands/0.0", bytes(50_000_000))
    real, declared = struct.pack("<I", 50_000_000), struct.pack("<I", 1000)
    path.write_bytes(path.read_bytes().replace(real, declared))
    archive = open_archive(path)

    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bands/0\.0 cannot be read"):
            archive.read("bands/0.0")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
