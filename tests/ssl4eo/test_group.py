from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarpipe.errors import DataError, UsageError
from sarpipe.simulate.place import SimulatedPlace
from sarpipe.ssl4eo import Group, Store, UnreadablePlace, find_stores, open_source, read_parts

WritePlace = Callable[..., bytes]
Files = Callable[..., dict[str, bytes]]
WriteStore = Callable[[Path, Mapping[str, bytes]], Path]
AXES = ["time", "band", "y", "x"]


@pytest.fixture(scope="module")
def places(simulated_places: list[SimulatedPlace], write_place: WritePlace) -> list[bytes]:
    return [write_place(place, neuco=True) for place in simulated_places[:3]]


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / f"{name}.zarr.zip").write_bytes(data)
    return folder


def groups(source: Path | str) -> list[Group]:
    found = find_stores(source)
    assert all(isinstance(group, Group) for group in found)
    return [group for group in found if isinstance(group, Group)]


def test_files_are_grouped_by_64_in_the_order_of_their_names(tmp_path: Path, places: list[bytes]) -> None:
    folder = write(tmp_path / "s1", {f"{i:04d}": places[i % 3] for i in range(130)})
    found = groups(folder)
    assert [group.name for group in found] == ["s1-000001", "s1-000002", "s1-000003"]
    assert [len(group.files) for group in found] == [64, 64, 2]
    assert [name for group in found for name in group.files] == [f"{i:04d}.zarr.zip" for i in range(130)]
    assert groups(folder / "0007.zarr.zip") == [Group("s1-000001", folder, ("0007.zarr.zip",))]
    assert [group.files for group in groups(folder / "000[12]*")] == [("0001.zarr.zip", "0002.zarr.zip")]


def test_a_folder_cut_into_parts(tmp_path: Path, places: list[bytes]) -> None:
    for part in range(2):
        write(tmp_path / "s1" / f"part-{part:06d}", {f"{part}{i}": places[i] for i in range(2)})
    wanted = ["part-000000-000001", "part-000001-000001"]
    assert [group.name for group in groups(tmp_path / "s1")] == wanted
    assert [group.name for group in groups(tmp_path / "s1" / "part-*" / "*.zarr.zip")] == wanted


def test_folders_of_one_name_are_told_apart(tmp_path: Path, places: list[bytes]) -> None:
    for split in ("data_dev", "data_eval"):
        write(tmp_path / split / "s1", {f"{split}-0": places[0]})
    found = groups(f"{tmp_path}/data_*/s1/*.zarr.zip")
    assert [group.name for group in found] == ["data_dev-s1-000001", "data_eval-s1-000001"]
    for split in ("data_dev", "data_eval"):
        write(tmp_path / "other" / split / "s1", {f"{split}-1": places[0]})
    with pytest.raises(UsageError, match="have one name"):
        find_stores(f"{tmp_path}/**/*.zarr.zip")


def test_the_first_file_that_can_be_read_decides(tmp_path: Path, places: list[bytes]) -> None:
    folder = write(tmp_path / "s1", {"a": b"", "b": places[0][:-1], "c": places[0]})
    assert groups(folder)[0].files == ("a.zarr.zip", "b.zarr.zip", "c.zarr.zip")


@pytest.mark.parametrize("n", [1, 2])
def test_stores_stay_stores_also_with_a_single_place(
    tmp_path: Path, raw_files: Files, write_store: WriteStore, n: int
) -> None:
    for name in ("a", "b"):
        write_store(tmp_path / f"{name}.zarr.zip", raw_files(n))
    assert find_stores(tmp_path) == [tmp_path / "a.zarr.zip", tmp_path / "b.zarr.zip"]


@pytest.mark.parametrize("with_axis", [True, False])
def test_a_place_is_read_with_its_seasons_in_the_stored_order_and_named_by_its_file(
    tmp_path: Path, simulated_places: list[SimulatedPlace], write_place: WritePlace, with_axis: bool
) -> None:
    place = simulated_places[0]
    changes = {} if with_axis else {"bands": (AXES, place.db)}
    sample = (["sample"] if with_axis else [], np.array(["other"] if with_axis else "other"))
    data = write_place(place, neuco=True, sample=sample, **changes)
    (group,) = groups(write(tmp_path / "s1", {"0f3a": data}))
    (store,) = read_parts(group)
    assert isinstance(store, Store)
    assert (store.name, store.ids, store.order) == ("s1-000001", ("0f3a",), ("stored",))
    np.testing.assert_array_equal(store.db[0], place.db)
    assert np.isnat(store.dates).all()
    assert np.isnan([*store.latitude, *store.longitude, *store.bounds[0]]).all()
    assert store.crs.tolist() == [0]
    assert store.orbit_passes == [["unknown"] * 4]


def test_bands_are_found_by_name_and_never_guessed(
    tmp_path: Path, simulated_places: list[SimulatedPlace], write_place: WritePlace
) -> None:
    place = simulated_places[0]
    swapped = {"bands": (AXES, place.db[:, ::-1]), "band": (["band"], np.array(["VH", "VV"]))}
    files = {
        "a": write_place(place, neuco=True, **swapped),
        "b": write_place(place, neuco=True, band=None),
    }
    (group,) = groups(write(tmp_path / "s1", files))
    store, nameless = read_parts(group)
    assert isinstance(store, Store)
    np.testing.assert_array_equal(store.db[0], place.db)
    assert isinstance(nameless, UnreadablePlace)
    assert "does not name its bands" in nameless.reason


def test_a_damaged_file_is_one_quarantined_place(tmp_path: Path, places: list[bytes]) -> None:
    folder = write(tmp_path / "s1", {"a": places[0], "b": places[1][:5000], "c": places[2]})
    (group,) = groups(folder)
    first, bad, last = read_parts(group)
    assert isinstance(first, Store)
    assert isinstance(last, Store)
    assert isinstance(bad, UnreadablePlace)
    assert (bad.store, bad.id) == ("s1-000001", "b")
    assert "s1-000001/b.zarr.zip is not a whole zip file" in bad.reason
    assert str(tmp_path) not in bad.reason


def test_the_fingerprint_follows_names_and_content_and_not_the_folder(tmp_path: Path, places: list[bytes]) -> None:
    def fingerprint(folder: str, files: dict[str, bytes]) -> str:
        (group,) = groups(write(tmp_path / folder / "s1", files))
        return open_source(group).fingerprint

    first = fingerprint("1", {"a": places[0], "b": places[1]})
    assert fingerprint("2", {"a": places[0], "b": places[1]}) == first
    assert fingerprint("3", {"a": places[0], "b": places[2]}) != first
    assert fingerprint("4", {"a": places[0], "c": places[1]}) != first


def test_a_file_that_is_gone_is_said(tmp_path: Path, places: list[bytes]) -> None:
    (group,) = groups(write(tmp_path / "s1", {"a": places[0], "b": places[1]}))
    (tmp_path / "s1" / "b.zarr.zip").unlink()
    for look in (lambda: open_source(group), lambda: list(read_parts(group))):
        with pytest.raises(DataError, match=r"b\.zarr\.zip cannot be read"):
            look()


@settings(deadline=None, max_examples=100)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255), at_end=st.booleans())
def test_a_flipped_byte_gives_the_same_place_or_a_quarantined_one(
    tmp_path_factory: pytest.TempPathFactory, places: list[bytes], place: float, change: int, at_end: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped-group"
    group = Group("g", folder, ("a.zarr.zip",))
    write(folder, {"a": places[0]})
    (whole,) = read_parts(group)
    data = bytearray(places[0])
    start = len(data) - 1500 if at_end else 0
    data[start + int(place * (len(data) - start))] ^= change
    write(folder, {"a": bytes(data)})
    (found,) = read_parts(group)
    assert isinstance(whole, Store)
    if isinstance(found, Store):
        assert found.db.tobytes() == whole.db.tobytes()
        assert (found.ids, found.order) == (whole.ids, whole.order)
    else:
        assert found.id == "a"
