import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarpipe.errors import DataError
from sarpipe.preprocess.place import make_cube
from sarpipe.preprocess.recipe import OriginalRecipe, SarRecipe
from sarpipe.preprocess.unit import truth_path, write_unit
from sarpipe.ssl4eo import read_store


@pytest.fixture
def store(small_stores: Path, tmp_path: Path) -> Path:
    shutil.copytree(small_stores, tmp_path / "stores")
    return sorted((tmp_path / "stores").glob("*.zarr.zip"))[0]


def unit(store: Path, folder: Path, recipe: SarRecipe | OriginalRecipe) -> Path:
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
