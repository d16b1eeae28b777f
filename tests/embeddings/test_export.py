from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray

from sarpipe.embeddings import Embeddings, Origin, export, read_geoparquet
from sarpipe.storage import commit, open_verified


def test_the_forms_are_committed_and_agree(tmp_path: Path, embeddings: Embeddings, origin: Origin) -> None:
    commit(tmp_path / "a", {}, lambda folder: export(folder, embeddings, origin))
    folder = open_verified(tmp_path / "a").folder
    parquet = read_geoparquet(folder / "embeddings.parquet")
    csv = pd.read_csv(folder / "embeddings.csv", index_col="id")
    group = xarray.open_zarr(folder / "embeddings.zarr")
    assert list(group["id"].values) == list(parquet.ids)
    for row, place in enumerate(group["id"].values):
        vector = group["embedding"].values[row]
        np.testing.assert_array_equal(vector, parquet.vectors[parquet.ids.index(place)])
        np.testing.assert_array_equal(vector, csv.loc[place].to_numpy(np.float32))


def written(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("seed", range(3))
def test_every_byte_depends_on_the_places_and_not_on_their_order(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings], origin: Origin, seed: int
) -> None:
    random = np.random.default_rng(seed)
    places = [(f"p{i:02d}", float(random.uniform(-180, 180)), float(random.uniform(-80, 80)), 0) for i in range(40)]
    table = make_embeddings([*places, ("nowhere", np.nan, np.nan, 0), ("munich", 11.6, 48.1, 32632)])
    order = random.permutation(len(table.ids))
    other = Embeddings(
        tuple(table.ids[i] for i in order), table.vectors[order], table.index.iloc[order].reset_index(drop=True)
    )
    for name, one in (("a", table), ("b", other)):
        (tmp_path / name).mkdir()
        export(tmp_path / name, one, origin)
    files = written(tmp_path / "a")
    assert {name.split("/")[0] for name in files} == {
        "embeddings.parquet",
        "embeddings.csv",
        "embeddings_standardised.csv",
        "embeddings.zarr",
        "collection.json",
        "item.json",
    }
    assert written(tmp_path / "b") == files


def test_no_places_are_files_too(tmp_path: Path, make_embeddings: Callable[..., Embeddings], origin: Origin) -> None:
    export(tmp_path, make_embeddings([]), origin)
    assert (tmp_path / "embeddings_standardised.csv").read_text().count("\n") == 1
