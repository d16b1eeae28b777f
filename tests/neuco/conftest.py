"""Small tasks and vectors that know something of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PLACES, DIMENSIONS = 90, 12


@pytest.fixture
def vectors() -> pd.DataFrame:
    """Vectors by id, of unequal deviation."""
    values = np.random.default_rng(0).standard_normal((PLACES, DIMENSIONS)) * np.logspace(-1, 1, DIMENSIONS) + 2
    return pd.DataFrame(values.astype(np.float32), index=pd.Index([f"p{i:03d}" for i in range(PLACES)], name="id"))


@pytest.fixture
def embeddings(tmp_path: Path, vectors: pd.DataFrame) -> Path:
    """The same as the benchmark's CSV."""
    path = tmp_path / "embeddings.csv"
    vectors.to_csv(path)
    return path


@pytest.fixture
def labels(tmp_path: Path, vectors: pd.DataFrame) -> Path:
    """Two regressions and a classification, in orders of their own; the first with two empty labels."""
    folder = tmp_path / "labels"
    folder.mkdir()
    noise = np.random.default_rng(1).standard_normal((PLACES, 2))
    columns = {
        "biomass__regr": 40 + 3 * vectors[10] + noise[:, 0],
        "crops__regr": vectors[3] + noise[:, 1],
        "cloudy__cls": (vectors[11] > 2).astype(int),
    }
    for seed, (name, values) in enumerate(columns.items()):
        column = values.rename("label").sample(frac=1, random_state=seed).astype(object)
        if name == "biomass__regr":
            column.iloc[[3, 8]] = ""
        column.to_csv(folder / f"{name}.csv")
    return folder
