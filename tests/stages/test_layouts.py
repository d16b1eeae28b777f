"""Every layout, and places of every number of dates, through all stages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sarpipe.embeddings.geoparquet import read_geoparquet
from sarpipe.settings import Settings, resolve
from sarpipe.simulate.place import SimulatedPlace
from sarpipe.stages import straight
from sarpipe.stages.chain import plan, summarise
from sarpipe.stages.cube_set import current_set
from sarpipe.stages.places import load_cubes

TINY = {"train.epochs": 1, "train.batch_size": 4, "device": "cpu", "recipe.min_valid": 0}
WritePlace = Callable[..., bytes]
WriteTar = Callable[[Path, Mapping[str, bytes]], Path]


def quiet(*_: Any) -> None:
    pass


@pytest.fixture
def settings(tmp_path: Path, scheduler: str) -> Settings:
    return resolve(data=tmp_path / "data", overrides=TINY, dask=scheduler)


def run(settings: Settings, source: Path) -> dict[str, Any]:
    return summarise(settings, straight.run(settings, str(source), quiet))


def assert_whole(summary: Mapping[str, Any], settings: Settings, kept: int, quarantined: int = 0) -> pd.DataFrame:
    """All outputs are there, finite and of these places; gives the index."""
    assert summary["places"] == {"in": kept + quarantined, "quarantined": quarantined, "embedded": kept}
    table = read_geoparquet(Path(summary["outputs"]["embeddings_parquet"]))
    assert np.isfinite(table.vectors).all()
    assert len(set(table.ids)) == kept
    assert np.isfinite(pd.read_csv(summary["outputs"]["embeddings_csv"], dtype={"id": str}).iloc[:, 1:]).all(axis=None)
    page = Path(summary["outputs"]["report"]).read_text()
    assert ">nan<" not in page.lower()
    return load_cubes(current_set(settings)).index


def test_a_set_of_single_dates(
    small_stores: Path, tmp_path: Path, settings: Settings, of_dates: Callable[..., Path]
) -> None:
    store = sorted(small_stores.glob("*.zip"))[0]
    of_dates(store, tmp_path / "stores" / "one.zarr", [0])
    index = assert_whole(run(settings, tmp_path / "stores"), settings, 5)
    assert all("single_date" in row for row in index["flags"])
    assert np.isnan(load_cubes(current_set(settings)).cubes[:, 4:]).all()


def test_stores_shards_and_files_of_all_numbers_of_dates_together(
    small_stores: Path,
    tmp_path: Path,
    settings: Settings,
    of_dates: Callable[..., Path],
    simulated_places: list[SimulatedPlace],
    write_place: WritePlace,
    write_tar: WriteTar,
) -> None:
    folder = tmp_path / "stores"
    folder.mkdir()
    first, second = sorted(small_stores.glob("*.zip"))
    shutil.copy(first, folder)
    of_dates(second, folder / "three.zarr", [0, 1, 2])
    # The ids of the first store, so others are given.
    axes = ["time", "band", "y", "x"]
    members = {
        f"k{i}.zarr.zip": write_place(place, sample=None, bands=(axes, place.db[:i]), file_id=None, time=None)
        for i, place in enumerate(simulated_places[:3], 1)
    }
    members["bad.zarr.zip"] = b"PK"
    write_tar(folder / "ssl4eos12_shard_000001.tar", members)
    steps = plan(settings, "run", str(folder))
    assert [(step.name, step.state) for step in steps[:3]] == [
        ("ssl4eos12_shard_000001", "missing"),
        ("ssl4eos12_train_seasonal_data_000001", "missing"),
        ("three", "missing"),
    ]
    summary = run(settings, folder)
    index = assert_whole(summary, settings, 13, quarantined=1).set_index("id")
    assert summary["units"] == {"total": 3, "computed": 3, "reused": 0, "refused": 0}
    assert [(row["id"], row["store"]) for row in summary["quarantine"]] == [("bad", "ssl4eos12_shard_000001")]
    assert [len(index.loc[name, "dates"]) for name in ("k1", "k2", "k3")] == [1, 2, 3]
    assert list(index.loc["k3", "flags"]) == ["date_order_stored"]
    assert {step.state for step in plan(settings, "run", str(folder))} == {"done"}


def test_an_unpacked_store_that_was_changed_is_not_taken_for_what_was_made_of_it(
    small_stores: Path, tmp_path: Path, settings: Settings
) -> None:
    folder = tmp_path / "stores"
    first, second = sorted(small_stores.glob("*.zip"))
    folder.mkdir()
    shutil.copy(first, folder)
    shutil.unpack_archive(second, folder / "second.zarr", "zip")
    made = straight.preprocess(settings, str(folder), quiet)
    assert [unit["computed"] for unit in made["units"]] == [True, True]
    corrected = folder / "second.zarr" / "center_lat" / "0"
    before = corrected.read_bytes()
    corrected.write_bytes(bytes([*before[:-1], before[-1] ^ 1]))

    changed = straight.preprocess(settings, str(folder), quiet)
    assert {name: error["code"] for name, error in changed["refused"].items()} == {"second": "checksum"}
    corrected.write_bytes(before)
    again = straight.preprocess(settings, str(folder), quiet)
    assert [unit["computed"] for unit in again["units"]] == [False, False]


def test_a_damaged_file_of_a_group_is_read_again_when_it_is_mended_and_nothing_else_is(
    tmp_path: Path, settings: Settings, simulated_places: list[SimulatedPlace], write_place: WritePlace
) -> None:
    folder = tmp_path / "s1"
    folder.mkdir()
    for i in range(66):
        (folder / f"{i:03d}.zarr.zip").write_bytes(b"" if i > 4 and i != 65 else b"x")
    whole = [write_place(place, neuco=True) for place in simulated_places]
    for i, data in enumerate(whole):
        (folder / f"{i:03d}.zarr.zip").write_bytes(data)
    (folder / "065.zarr.zip").write_bytes(whole[0])
    # Damaged among its pixels: size and directory, and with them the fingerprint, stay as they are.
    damaged = bytearray(whole[1])
    damaged[len(damaged) // 2] ^= 1
    (folder / "001.zarr.zip").write_bytes(damaged)

    def preprocess() -> tuple[list[bool], dict[str, int]]:
        done = straight.preprocess(settings, str(folder), quiet)
        counts = {name: done["cube_set"][f"places_{name}"] for name in ("in", "kept", "quarantined")}
        return [unit["computed"] for unit in done["units"]], counts

    assert preprocess() == ([True, True], {"in": 66, "kept": 5, "quarantined": 61})
    assert preprocess() == ([False, False], {"in": 66, "kept": 5, "quarantined": 61})
    (folder / "001.zarr.zip").write_bytes(whole[1])
    (step, other) = plan(settings, "preprocess", str(folder))
    assert (step.state, other.state) == ("forced", "done")
    assert "could not be read" in step.why
    assert preprocess() == ([True, False], {"in": 66, "kept": 6, "quarantined": 60})
    assert preprocess() == ([False, False], {"in": 66, "kept": 6, "quarantined": 60})
    assert "001" in load_cubes(current_set(settings)).ids


def test_a_damaged_shard_is_refused_by_name_and_one_that_is_replaced_is_made_anew(
    tmp_path: Path,
    settings: Settings,
    simulated_places: list[SimulatedPlace],
    write_place: WritePlace,
    write_tar: WriteTar,
) -> None:
    folder = tmp_path / "stores"
    folder.mkdir()
    for number, place in enumerate(simulated_places[:2]):
        write_tar(folder / f"shard_{number}.tar", {"a.zarr.zip": write_place(place)})
    first = folder / "shard_0.tar"
    data = first.read_bytes()
    first.write_bytes(data[:-20_000])
    done = straight.preprocess(settings, str(folder), quiet)
    assert list(done["refused"]) == ["shard_0"]
    assert done["refused"]["shard_0"]["reason"].startswith("shard_0.tar is not a whole tar file")
    assert str(tmp_path) not in done["refused"]["shard_0"]["reason"]
    first.write_bytes(data)
    assert [unit["computed"] for unit in straight.preprocess(settings, str(folder), quiet)["units"]] == [True, False]
    write_tar(first, {"a.zarr.zip": write_place(simulated_places[3])})
    assert [unit["computed"] for unit in straight.preprocess(settings, str(folder), quiet)["units"]] == [True, False]
