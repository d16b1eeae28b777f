import gc
import json
import shutil
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarpipe.errors import DataError
from sarpipe.preprocess.place import make_cube
from sarpipe.preprocess.recipe import OriginalRecipe, SarRecipe
from sarpipe.preprocess.truth import truth_path
from sarpipe.preprocess.unit import write_unit
from sarpipe.simulate.place import SimulatedPlace
from sarpipe.ssl4eo import Group, read_store


@pytest.fixture
def store(small_stores: Path, tmp_path: Path) -> Path:
    shutil.copytree(small_stores, tmp_path / "stores")
    return sorted((tmp_path / "stores").glob("*.zarr.zip"))[0]


def unit(store: Path | Group, folder: Path, recipe: SarRecipe | OriginalRecipe) -> Path:
    folder.mkdir()
    write_unit(folder, store, recipe, None)
    return folder


def test_a_unit_holds_the_cubes_of_its_store_in_order(store: Path, tmp_path: Path) -> None:
    folder = unit(store, tmp_path / "unit", SarRecipe())
    raw = read_store(store)
    cubes, frames = np.load(folder / "cubes.npy"), np.load(folder / "frames.npy")
    index = pd.read_parquet(folder / "index.parquet")
    assert (cubes.dtype, cubes.shape) == (np.float32, (5, 12, 64, 64))
    assert (frames.dtype, frames.shape) == (np.float16, (5, 4, 4, 64, 64))
    assert list(index["id"]) == list(raw.ids)
    for i, place in enumerate(raw.db):
        np.testing.assert_array_equal(cubes[i], make_cube(place, SarRecipe()).cube)
    dates = np.array([list(row) for row in index["dates"]], dtype="datetime64[us]")
    np.testing.assert_array_equal(dates, raw.dates)
    assert (np.diff(dates, axis=1) > np.timedelta64(0)).all()
    assert index["crs"].between(32601, 32760).all()


def test_original_takes_the_dates_as_they_are_stored_and_sar_as_they_follow_each_other(
    store: Path, tmp_path: Path, of_dates: Callable[[Path, Path, list[int]], Path]
) -> None:
    shuffled = of_dates(store, tmp_path / "shuffled.zarr", [2, 0, 3, 1])
    for recipe, order in ((OriginalRecipe(), [2, 0, 3, 1]), (SarRecipe(), [0, 1, 2, 3])):
        folder = unit(shuffled, tmp_path / recipe.name, recipe)
        index = pd.read_parquet(folder / "index.parquet").set_index("id")
        cubes, frames = np.load(folder / "cubes.npy"), np.load(folder / "frames.npy")
        raw = read_store(store)
        kept = [i for i, place in enumerate(raw.ids) if place in index.index]
        for row, i in enumerate(kept):
            made = make_cube(raw.db[i][order], recipe)
            np.testing.assert_array_equal(cubes[row], made.cube)
            np.testing.assert_array_equal(frames[row], made.frames.astype(np.float16))
            of_place = index.loc[raw.ids[i]]
            assert list(of_place["products"]) == [raw.products[i][t] for t in order]
            assert of_place["date_order"] == ("stored" if order[0] else "product")
            assert ("date_order_stored" in of_place["flags"]) == bool(order[0])
        assert kept


def test_the_same_store_gives_the_same_bytes(store: Path, tmp_path: Path) -> None:
    first, second = (unit(store, tmp_path / name, SarRecipe()) for name in ("a", "b"))
    names = sorted(path.name for path in first.iterdir())
    assert names == ["cubes.npy", "frames.npy", "index.parquet", "quarantine.parquet", "truth.parquet", "unit.json"]
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_place_that_the_recipe_rejects_is_quarantined_with_its_reason(store: Path, tmp_path: Path) -> None:
    strict = SarRecipe(min_valid=1.0)
    raw = read_store(store)
    incomplete = {raw.ids[i] for i, place in enumerate(raw.db) if not np.isfinite(place).all()}
    folder = unit(store, tmp_path / "strict", strict)
    rejected = pd.read_parquet(folder / "quarantine.parquet")
    assert set(rejected["id"]) == incomplete
    assert len(np.load(folder / "cubes.npy")) == 5 - len(incomplete)
    assert list(pd.read_parquet(folder / "truth.parquet")["id"]) == [i for i in raw.ids if i not in incomplete]


@pytest.mark.parametrize("damage", ["not parquet", "another place", "twice", "text"])
def test_a_truth_that_is_not_of_these_places_is_refused(store: Path, tmp_path: Path, damage: str) -> None:
    path = truth_path(store)
    table = pd.read_parquet(path)
    if damage == "not parquet":
        path.write_bytes(b"PAR1 not")
    elif damage == "another place":
        table.assign(id=[f"x{i}" for i in range(len(table))]).to_parquet(path)
    elif damage == "twice":
        pd.concat([table, table]).to_parquet(path)
    else:
        table.assign(fraction_water="wet").to_parquet(path)
    with pytest.raises(DataError, match=r"truth\.parquet") as caught:
        unit(store, tmp_path / "unit", SarRecipe())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("recipe", [SarRecipe(min_valid=0), OriginalRecipe()])
@pytest.mark.parametrize("dates", [1, 2, 3])
def test_stores_of_of_dates_give_frames_and_lists_of_these_and_are_flagged(
    store: Path, tmp_path: Path, of_dates: Callable[..., Path], recipe: SarRecipe | OriginalRecipe, dates: int
) -> None:
    folder = unit(of_dates(store, tmp_path / "few.zarr", list(range(dates))), tmp_path / "unit", recipe)
    cubes, frames = np.load(folder / "cubes.npy"), np.load(folder / "frames.npy")
    index = pd.read_parquet(folder / "index.parquet")
    assert len(index) > 0
    assert frames.shape[1:] == (4, 4, 64, 64)
    assert np.isnan(frames[:, dates:]).all()
    assert np.isfinite(frames[:, :dates]).any(axis=(2, 3, 4)).all()
    for name in ("dates", "products", "orbit_passes", "relative_orbits", "valid_fractions"):
        assert [len(row) for row in index[name]] == [dates] * len(index), name
    assert np.isfinite(cubes[:, 4:]).any() == (dates > 1 or recipe.name == "original")
    for row in index["flags"]:
        assert ("single_date" in row, "two_dates" in row) == (dates == 1, dates == 2)


def test_dates_of_one_pass_alone(store: Path, tmp_path: Path) -> None:
    raw = read_store(store)
    folders = {
        name: unit(store, tmp_path / name, SarRecipe(orbit_pass=name)) for name in ("both", "ascending", "descending")
    }
    for name, folder in folders.items():
        index = pd.read_parquet(folder / "index.parquet").set_index("id")
        quarantine = pd.read_parquet(folder / "quarantine.parquet").set_index("id")
        cubes, frames = np.load(folder / "cubes.npy"), np.load(folder / "frames.npy")
        for i, place in enumerate(raw.ids):
            used = [t for t, orbit in enumerate(raw.orbit_passes[i]) if name in ("both", orbit)]
            if not used:
                assert quarantine.loc[place, "reason"] == f"none of 4 dates is known to be {name}"
                continue
            row = index.index.get_loc(place)
            made = make_cube(raw.place(i)[used], SarRecipe())
            np.testing.assert_array_equal(cubes[row], made.cube)
            np.testing.assert_array_equal(frames[row, : len(used)], made.frames.astype(np.float16))
            assert np.isnan(frames[row, len(used) :]).all()
            assert list(index["products"][place]) == [raw.products[i][t] for t in used]
            mixed = name == "both" and len(set(raw.orbit_passes[i])) == 2
            assert ("mixed_passes" in index["flags"][place]) == mixed
    passes = [set(row) for row in raw.orbit_passes]
    # The test shows something: some place has one pass alone, some has both.
    assert {len(row) for row in passes} == {1, 2}


def test_a_pass_that_is_not_known_is_said(
    tmp_path: Path, simulated_places: list[SimulatedPlace], write_place: Callable[..., bytes]
) -> None:
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "a.zarr.zip").write_bytes(write_place(simulated_places[0], neuco=True))
    group = Group("s1-000001", tmp_path / "s1", ("a.zarr.zip",))
    folder = unit(group, tmp_path / "unit", SarRecipe(orbit_pass="ascending"))
    (reason,) = pd.read_parquet(folder / "quarantine.parquet")["reason"]
    assert reason == "none of 4 dates is known to be ascending, the pass of 4 is not known"
    flags = pd.read_parquet(unit(group, tmp_path / "both", SarRecipe()) / "index.parquet")["flags"]
    assert list(flags[0]) == ["date_order_stored"]


@pytest.mark.parametrize("layout", ["shard", "group"])
def test_all_layouts_give_the_same_cubes_and_count_what_cannot_be_read(
    store: Path,
    tmp_path: Path,
    simulated_places: list[SimulatedPlace],
    write_place: Callable[..., bytes],
    write_tar: Callable[[Path, Mapping[str, bytes]], Path],
    layout: str,
) -> None:
    raw = read_store(store)
    zips = {f"k{i}.zarr.zip": write_place(place, neuco=layout == "group") for i, place in enumerate(simulated_places)}
    zips["k1x.zarr.zip"] = zips["k1.zarr.zip"][:-1]
    zips = dict(sorted(zips.items()))
    source: Path | Group = tmp_path / "s1"
    if layout == "shard":
        source = write_tar(tmp_path / "shard.tar", zips)
    else:
        (tmp_path / "s1").mkdir()
        for name, data in zips.items():
            (tmp_path / "s1" / name).write_bytes(data)
        source = Group("s1-000001", tmp_path / "s1", tuple(zips))
    folder = unit(source, tmp_path / "unit", SarRecipe(min_valid=0))
    cubes, index = np.load(folder / "cubes.npy"), pd.read_parquet(folder / "index.parquet")
    assert len(cubes) == len(index) == 5
    assert list(index["id"]) == (list(raw.ids) if layout == "shard" else [f"k{i}" for i in range(5)])
    assert set(index["store"]) == {"shard" if layout == "shard" else "s1-000001"}
    for i, place in enumerate(simulated_places):
        # What has no product ids keeps the stored order.
        wanted = raw.place(i) if layout == "shard" else place.db
        np.testing.assert_array_equal(cubes[i], make_cube(wanted, SarRecipe(min_valid=0)).cube)
    quarantine = pd.read_parquet(folder / "quarantine.parquet")
    assert list(quarantine["id"]) == ["k1x"]
    assert "not a whole zip" in quarantine["reason"][0]
    unit_json = json.loads((folder / "unit.json").read_bytes())
    assert (unit_json["places"], unit_json["unreadable"]) == (6, ["k1x"])


def test_truth_beside_a_shard_and_in_the_folder_of_a_group(
    store: Path, tmp_path: Path, simulated_places, write_place, write_tar
) -> None:
    truth = pd.read_parquet(truth_path(store))
    shard = write_tar(tmp_path / "shard.tar", {"a.zarr.zip": write_place(simulated_places[3])})
    truth.to_parquet(tmp_path / "shard.truth.parquet")
    folder = unit(shard, tmp_path / "unit", SarRecipe(min_valid=0))
    assert list(pd.read_parquet(folder / "truth.parquet")["id"]) == [simulated_places[3].id]
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "b.zarr.zip").write_bytes(write_place(simulated_places[2], neuco=True))
    truth.assign(id=["b", "c", "d", "e", "f"]).to_parquet(tmp_path / "s1" / "s1.truth.parquet")
    group = Group("s1-000001", tmp_path / "s1", ("b.zarr.zip",))
    folder = unit(group, tmp_path / "grouped", SarRecipe(min_valid=0))
    assert list(pd.read_parquet(folder / "truth.parquet")["id"]) == ["b"]


def test_memory_does_not_grow_with_the_places_of_a_shard(
    tmp_path: Path, simulated_places, write_place, write_tar
) -> None:
    data = write_place(simulated_places[0])

    def peak(places: int) -> int:
        shard = write_tar(tmp_path / f"{places}.tar", {f"{i}.zarr.zip": data for i in range(places)})
        gc.collect()
        tracemalloc.start()
        try:
            unit(shard, tmp_path / f"unit-{places}", SarRecipe(min_valid=0))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    # A place's cube and frames are 460 kB, so 18 that were kept would be 8 MB.
    assert peak(20) < peak(2) + 2_000_000
