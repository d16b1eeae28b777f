"""Every real store that developers have: how many cubes it gives, or the reason why it gives none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarpipe.errors import DataError, UsageError
from sarpipe.preprocess.recipe import SarRecipe
from sarpipe.preprocess.unit import write_unit
from sarpipe.ssl4eo import find_stores

S2 = r"has bands \['b0.*needs \['vv', 'vh'\]. Only dual-polarisation"
NAME = "ssl4eos12_train_seasonal_data_900001.zarr.zip"
CUBES = {
    f"S1GRD/{NAME}": (6, {"date_order_stored"}),
    "single_date/S1GRD/sen1floods11_public_000001.zarr.zip": (32, {"single_date"}),
    "two_date/S1GRD/ssl4eos12_raw_0000200.zarr.zip": (1, {"two_dates", "mixed_passes"}),
}
REFUSED = {
    f"S2L2A/{NAME}": S2,
    # All its pixels are NaN, its fill value, so its only chunk was left out: it cannot be told from one that was lost.
    "edge_cases/S1GRD/all_nan_paraguay.zarr.zip": r"chunk bands/0\.0\.0\.0\.0 is missing",
    "single_date/S1GRD/bigearthnet_public_000001.zarr.zip": r"120 x 120 pixels, needs 264 x 264: .* 41\.25 m",
    "single_date/S1GRD/sen12mscr_public_000001.zarr.zip": r"256 x 256 pixels, needs 264 x 264",
    "single_date/S1RTC/terramind_public_000001.zarr.zip": r"224 x 224 pixels, needs 264 x 264",
    "single_date/S2L1C/sen12mscr_cloudfree_public_000001.zarr.zip": S2,
    "single_date/S2L1C/sen12mscr_cloudy_public_000001.zarr.zip": S2,
    "single_date/S2L1C/sen1floods11_public_000001.zarr.zip": S2,
    "single_date/S2L2A/bigearthnet_public_000001.zarr.zip": S2,
    "single_date/S2L2A/terramind_public_000001.zarr.zip": S2,
    "small_timeseries/S1GRD/presto_worldcereal_be_2020_2022_monthly.zarr.zip": r"20 dates, at most 4 can be used",
    "small_timeseries/S1GRD/worldcereal_be_2021_monthly.zarr.zip": r"12 dates, at most 4 can be used",
    "small_timeseries/S2L2A/presto_worldcereal_be_2020_2022_monthly.zarr.zip": S2,
    "small_timeseries/S2L2A/worldcereal_be_2021_monthly.zarr.zip": S2,
    "two_date/S2L1C/ssl4eos12_raw_0000200.zarr.zip": S2,
    "two_date/S2L2A/ssl4eos12_raw_0000200.zarr.zip": S2,
}


def test_every_file_is_in_the_table(real_data: Path) -> None:
    found = {path.relative_to(real_data).as_posix() for path in real_data.rglob("*.zarr.zip")}
    assert found == {*CUBES, *REFUSED}


def test_what_is_no_store_is_refused_too(real_data: Path) -> None:
    others = [path for path in real_data.rglob("*") if path.is_file() and not path.name.endswith(".zarr.zip")]
    assert {path.suffix for path in others} >= {".csv", ".parquet", ".npz", ".geojson", ".md"}
    for path in others:
        with pytest.raises(UsageError, match="is neither a store nor a folder of stores"):
            find_stores(path)


@pytest.mark.parametrize("name", CUBES)
def test_it_gives_cubes(real_data: Path, tmp_path: Path, name: str) -> None:
    places, flags = CUBES[name]
    write_unit(tmp_path, real_data / name, SarRecipe(), None)
    index = pd.read_parquet(tmp_path / "index.parquet")
    cubes, frames = np.load(tmp_path / "cubes.npy"), np.load(tmp_path / "frames.npy")
    assert len(index) == len(cubes) == len(frames) == places
    assert not len(pd.read_parquet(tmp_path / "quarantine.parquet"))
    assert {flag for row in index["flags"] for flag in row} == flags
    dates = len(index["dates"][0])
    assert np.isnan(cubes[:, 4:]).all() == (dates == 1)
    # A few pixels of Sen1Floods11 are without data.
    assert np.isfinite(cubes[:, : 12 if dates > 1 else 4]).mean() > 0.999
    assert np.isnan(frames[:, dates:]).all()
    assert np.isfinite(frames[:, :dates]).mean() > 0.999


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(real_data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=REFUSED[name]) as caught:
        write_unit(tmp_path, real_data / name, SarRecipe(), None)
    assert str(real_data / name) in str(caught.value)
