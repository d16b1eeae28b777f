from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray

from sarpipe.embeddings import Embeddings, export, read_geoparquet
from sarpipe.storage import commit, open_verified


def test_the_three_forms_are_committed_agree_and_are_the_same_bytes_again(
    tmp_path: Path, embeddings: Embeddings
) -> None:
    made = [
        commit(tmp_path / name, {}, lambda folder: export(folder, embeddings, {"model": "abc"})) for name in ("a", "b")
    ]
    assert made[0].digest == made[1].digest
    folder = open_verified(tmp_path / "a").folder
    parquet = read_geoparquet(folder / "embeddings.parquet")
    csv = pd.read_csv(folder / "embeddings.csv", index_col="id")
    group = xarray.open_zarr(folder / "embeddings.zarr")
    for row, place in enumerate(group["id"].values):
        vector = group["embedding"].values[row]
        np.testing.assert_array_equal(vector, parquet.vectors[parquet.ids.index(place)])
        np.testing.assert_array_equal(vector, csv.loc[place].to_numpy(np.float32))
