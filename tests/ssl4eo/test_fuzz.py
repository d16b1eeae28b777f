"""Never silently wrong: a damaged store is read as it was, or refused with a `DataError`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.ssl4eo import Store, read_store

Files = Callable[..., dict[str, bytes]]
Write = Callable[[Path, Mapping[str, bytes]], Path]
REFUSALS = {
    *(Code.BROKEN_ARCHIVE, Code.UNSAFE_ARCHIVE, Code.TOO_LARGE, Code.CHECKSUM, Code.MISSING_CHUNK, Code.BAD_CHUNK),
    *(Code.CODEC, Code.METADATA, Code.LAYOUT, Code.SCHEMA, Code.BAD_ID, Code.DUPLICATE_ID),
}
"""All that damage of a zip may be."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=6) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)


def assert_same(one: Store, other: Store) -> None:
    """What is read is the same, however it was stored."""
    for name in ("db", *(field.name for field in fields(Store) if field.name not in ("stored", "positions", "bands"))):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, raw_files: Files, write_store: Write) -> tuple[Path, bytes, Store]:
    """A small zip of one place, its bytes, and what is read from it."""
    path = write_store(tmp_path_factory.mktemp("fuzz") / "s.zarr.zip", raw_files(1))
    return path, path.read_bytes(), read_store(path)


@contextlib.contextmanager
def perhaps_refused() -> Iterator[None]:
    """What happens in the block, or a refusal of a kind that is told."""
    try:
        yield
    except DataError as error:
        if error.code not in REFUSALS:
            raise


def read_same_or_refuse(whole: tuple[Path, bytes, Store], data: bytes) -> None:
    path, _, store = whole
    path.write_bytes(data)
    with perhaps_refused():
        assert_same(read_store(path), store)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3))
def test_flipped_bytes_of_a_zip(whole: tuple[Path, bytes, Store], flips: list[tuple[float, int]]) -> None:
    data = bytearray(whole[1])
    for place, change in flips:
        data[int(place * len(data))] ^= change
    read_same_or_refuse(whole, bytes(data))


@settings(deadline=None, max_examples=100)
@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(["cut", "drop", "zero", "repeat", "insert"]),
    st.binary(max_size=64),
)
def test_cut_and_shifted_zips(
    whole: tuple[Path, bytes, Store], one: float, other: float, how: str, inserted: bytes
) -> None:
    data = whole[1]
    start, stop = sorted((int(one * len(data)), int(other * len(data))))
    middle = {"drop": b"", "zero": bytes(stop - start), "repeat": data[start:stop] * 2, "insert": inserted}
    read_same_or_refuse(whole, data[:stop] if how == "cut" else data[:start] + middle[how] + data[stop:])


@pytest.mark.parametrize("name", [b"center_lat/.zarray", b"time_/.zarray", b"crs/.zattrs", b"x_/0.0"])
def test_a_damaged_name_does_not_make_a_coordinate_unknown(whole: tuple[Path, bytes, Store], name: bytes) -> None:
    path, data, _ = whole
    place = data.index(name, data.index(b"PK\x01\x02"))
    path.write_bytes(data[:place] + b"C" + data[place + 1 :])

    with pytest.raises(DataError, match="differ"):
        read_store(path)


def test_a_directory_that_swallows_its_last_entries_is_refused(whole: tuple[Path, bytes, Store]) -> None:
    # The comment of an entry is declared as long as the entry after it.
    path, data, _ = whole
    entry, after = data.index(b"y_/.zarray", data.index(b"PK\x01\x02")) - 46, len("y_/.zattrs") + 46
    path.write_bytes(data[: entry + 32] + after.to_bytes(2, "little") + data[entry + 34 :])

    with pytest.raises(DataError, match="declared"):
        read_store(path)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_hostile_files_in_a_sound_zip_are_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, raw_files: Files, write_store: Write, data: st.DataObject
) -> None:
    files = raw_files(1)
    name = data.draw(st.sampled_from(sorted(files)))
    if name.endswith((".zarray", ".zattrs")) and data.draw(st.booleans()):
        document = json.loads(files[name])
        entry = data.draw(st.sampled_from(sorted(document) or ["units"]))
        files[name] = json.dumps({**document, entry: data.draw(JSON)}).encode()
    else:
        content = bytearray(files[name])
        for place, value in data.draw(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=5)):
            content[place % len(content)] = value
        files[name] = bytes(content[: data.draw(st.integers(0, len(content)))])
    path = write_store(tmp_path_factory.getbasetemp() / "hostile.zarr.zip", files)

    # Its checksums are right, so it may be another store; but it is read or refused.
    with perhaps_refused():
        store = read_store(path)
        assert store.db.shape == (1, 4, 2, 264, 264)
        assert [len(row) for row in store.products] == [4]
