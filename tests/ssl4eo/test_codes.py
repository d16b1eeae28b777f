"""Of which kind a damage is: what is wrong with a store or a place, by the code that it is told with."""

from __future__ import annotations

import errno
import json
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numcodecs
import numpy as np
import pytest

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.simulate.place import SimulatedPlace
from sarpipe.ssl4eo import UnreadablePlace, open_source, read_parts, read_store
from sarpipe.ssl4eo.archive import unread

Files = Callable[..., dict[str, bytes]]
Write = Callable[[Path, Mapping[str, bytes]], Path]
CHUNK = "bands/0.0.0.0.0"


def refusal(path: Path, ledger: Path | None = None) -> Code:
    """The code with which a store is refused."""
    with pytest.raises(DataError) as caught:
        use(path, ledger)
    return caught.value.code


def use(path: Path, ledger: Path | None) -> None:
    """As preprocess does: looked at, then read."""
    open_source(path, ledger)
    list(read_parts(path, ledger))


def said(files: dict[str, bytes], name: str, **changes: object) -> dict[str, bytes]:
    """The files with other metadata of an array."""
    return {**files, f"{name}/.zarray": json.dumps(json.loads(files[f"{name}/.zarray"]) | changes).encode()}


def zstd(count: int) -> bytes:
    return bytes(numcodecs.Zstd().encode(bytes(count)))


ZSTD = {"id": "zstd", "level": 1}


BY_FILES: dict[str, tuple[Callable[[Files], dict[str, bytes]], Code]] = {
    "a chunk that is deleted": (lambda raw: {k: v for k, v in raw(1).items() if k != CHUNK}, Code.MISSING_CHUNK),
    "a chunk that is cut": (lambda raw: raw(1) | {CHUNK: raw(1)[CHUNK][:-9]}, Code.BAD_CHUNK),
    "a chunk that holds less": (
        lambda raw: raw(1, codec={"id": "zstd", "level": 1}) | {CHUNK: zstd(9)},
        Code.BAD_CHUNK,
    ),
    "a bomb": (lambda raw: raw(1, codec=ZSTD) | {CHUNK: zstd(50_000_000)}, Code.TOO_LARGE),
    "a claim of 10^9 places": (lambda raw: said(raw(1), "bands", shape=[10**9, 4, 2, 264, 264]), Code.TOO_LARGE),
    "a pickle as codec": (lambda raw: said(raw(1), "bands", compressor={"id": "pickle"}), Code.CODEC),
    "a pickle as filter": (lambda raw: said(raw(1), "bands", filters=[{"id": "pickle"}]), Code.CODEC),
    "objects": (lambda raw: said(raw(1), "sample", dtype="|O"), Code.METADATA),
    "no JSON": (lambda raw: raw(1) | {"bands/.zarray": b"{"}, Code.METADATA),
    "Fortran order": (lambda raw: said(raw(1), "bands", order="F"), Code.METADATA),
    "Zarr v3": (lambda _: {"zarr.json": b"{}"}, Code.LAYOUT),
    "an array that is not there": (lambda raw: raw(1, file_id=None), Code.LAYOUT),
    "one band": (lambda raw: raw(1, band=np.array(["vv"])), Code.SCHEMA),
    "bands without names": (lambda raw: raw(1, band=None), Code.SCHEMA),
    "another size": (lambda raw: raw(1, bands=np.zeros((1, 4, 2, 9, 9), "<f2")), Code.SCHEMA),
    "another dtype": (lambda raw: raw(1, bands=np.zeros((1, 4, 2, 264, 264), "<i2")), Code.SCHEMA),
    "no sample": (lambda raw: said(raw(1), "bands", shape=[0, 4, 2, 264, 264]), Code.SCHEMA),
    "an id that is a formula": (lambda raw: raw(1, sample=np.array(["=cmd()"])), Code.BAD_ID),
    "an id that is there twice": (lambda raw: raw(2, sample=np.array(["a", "a"])), Code.DUPLICATE_ID),
}


@pytest.mark.parametrize("name", ["s.zarr.zip", "s.zarr"])
@pytest.mark.parametrize("what", BY_FILES)
def test_damage_in_the_files_of_a_store(
    tmp_path: Path, raw_files: Files, write_store: Write, what: str, name: str
) -> None:
    change, code = BY_FILES[what]
    assert refusal(write_store(tmp_path / name, change(raw_files))) is code


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def twice(data: bytes) -> bytes:
    file = BytesIO(data)
    with warnings.catch_warnings(), zipfile.ZipFile(file, "a") as bundle:
        warnings.simplefilter("ignore")
        bundle.writestr(CHUNK, b"again")
    return file.getvalue()


def many(_: bytes) -> bytes:
    return b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 60_000, 60_000, 0, 0, 0)


BY_BYTES: dict[str, tuple[Callable[[bytes], bytes], Code]] = {
    "cut": (lambda data: data[:-100], Code.BROKEN_ARCHIVE),
    "no zip at all": (lambda _: b"<html>not found</html>", Code.BROKEN_ARCHIVE),
    "empty": (lambda _: b"", Code.BROKEN_ARCHIVE),
    "a bit of a chunk flipped": (lambda data: flip(data, data.index(CHUNK.encode()) + 500), Code.CHECKSUM),
    "a name in the directory flipped": (lambda data: flip(data, data.rindex(CHUNK.encode())), Code.BROKEN_ARCHIVE),
    "a file twice": (twice, Code.UNSAFE_ARCHIVE),
    "60,000 files": (many, Code.TOO_LARGE),
}


@pytest.mark.parametrize("what", BY_BYTES)
def test_damage_of_a_zip(tmp_path: Path, raw_files: Files, write_store: Write, what: str) -> None:
    change, code = BY_BYTES[what]
    path = write_store(tmp_path / "s.zarr.zip", raw_files(1))
    path.write_bytes(change(path.read_bytes()))
    assert refusal(path) is code


def test_a_folder_that_is_not_what_it_was(tmp_path: Path, raw_files: Files, write_store: Write) -> None:
    path, ledger = write_store(tmp_path / "s.zarr", raw_files(1)), tmp_path / "sources"
    read_store(path, ledger)
    chunk = path / CHUNK
    whole = chunk.read_bytes()
    for data, code in ((flip(whole, 100), Code.CHECKSUM), (whole[:-1], Code.CHECKSUM), (None, Code.MISSING_CHUNK)):
        chunk.unlink()
        if data is not None:
            chunk.write_bytes(data)
        assert refusal(path, ledger) is code
        chunk.write_bytes(whole)
    (note,) = ledger.iterdir()
    note.write_text("{}")
    assert refusal(path, ledger) is Code.CHECKSUM


@pytest.mark.parametrize("name", ["s.zarr.zip", "s.zarr", "s.tar"])
def test_a_store_that_is_gone(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path / name) is Code.CHANGED


def test_damage_of_a_tar(
    tmp_path: Path, simulated_places: list[SimulatedPlace], write_place: Callable[..., bytes], write_tar: Write
) -> None:
    whole = write_tar(tmp_path / "s.tar", {"a.zarr.zip": write_place(simulated_places[0])}).read_bytes()
    link = tarfile.TarInfo("a.zarr.zip")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    linked = link.tobuf() + bytes(1024)
    nothing = write_tar(tmp_path / "none.tar", {"README": b"hello"}).read_bytes()
    for data, code in (
        (whole[:5000], Code.BROKEN_ARCHIVE),
        (linked, Code.UNSAFE_ARCHIVE),
        (nothing, Code.LAYOUT),
    ):
        (tmp_path / "s.tar").write_bytes(data)
        assert refusal(tmp_path / "s.tar") is code


def test_places_of_a_tar(
    tmp_path: Path, simulated_places: list[SimulatedPlace], write_place: Callable[..., bytes], write_tar: Write
) -> None:
    whole = write_place(simulated_places[0])
    members = {
        "cut": (whole[:-100], Code.BROKEN_ARCHIVE),
        "flipped": (flip(whole, whole.index(b"bands/") + 500), Code.CHECKSUM),
        "=cmd()": (whole, Code.BAD_ID),
        "unnamed": (write_place(simulated_places[0], band=None), Code.SCHEMA),
        "large": (bytes(5_000_000), Code.TOO_LARGE),
    }
    found = list(read_parts(write_tar(tmp_path / "s.tar", {f"{k}.zarr.zip": data for k, (data, _) in members.items()})))
    assert all(isinstance(part, UnreadablePlace) for part in found)
    codes = [part.code for part in found if isinstance(part, UnreadablePlace)]
    assert codes == [code for _, code in members.values()]


def test_what_the_system_does_not_give() -> None:
    codes = {PermissionError(): Code.IO, OSError(errno.EIO, "I/O"): Code.IO, FileNotFoundError(): Code.CHANGED}
    codes[OSError(errno.EINVAL, "seek")] = Code.BROKEN_ARCHIVE
    assert {error: unread(error) for error in codes} == codes
