from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, r2_score
from sklearn.model_selection import ShuffleSplit
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

from sarpipe.neuco import protocol
from sarpipe.neuco.labels import read_tasks
from sarpipe.neuco.score import score
from sarpipe.neuco.vectors import Vectors

CPU = torch.device("cpu")


def reference(labels: Path, vectors: pd.DataFrame) -> dict[str, np.ndarray]:
    """The protocol fold by fold with PyTorch's own layer, loader and optimiser: the score after every epoch."""
    torch.manual_seed(42)
    tables = {path.stem: pd.read_csv(path).dropna().set_index("id")["label"] for path in labels.glob("*.csv")}
    values = vectors.loc[sorted(set().union(*(table.index for table in tables.values())))].to_numpy(np.float32)
    mean, deviation = values.mean(), values.std()
    histories = {}
    for name in sorted(tables):
        label = tables[name]
        x = torch.from_numpy((vectors.loc[label.index].to_numpy(np.float32) - mean) / deviation)
        y = torch.tensor(((label - label.min()) / (label.max() - label.min())).to_numpy(), dtype=torch.float32)
        splitter = ShuffleSplit(n_splits=40, test_size=0.1, random_state=42)
        folds = [fold(x, y, train, test, name) for train, test in splitter.split(x)]
        histories[name.split("__")[0]] = np.array(folds)
    return histories


def fold(x: torch.Tensor, y: torch.Tensor, train: np.ndarray, test: np.ndarray, name: str) -> list[float]:
    data = TensorDataset(x, y)
    learn, held = (DataLoader(data, batch_size=64, sampler=SubsetRandomSampler(rows)) for rows in (train, test))
    layer = torch.nn.Linear(x.shape[1], 1)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=1e-3)
    loss = torch.nn.MSELoss() if name.endswith("regr") else torch.nn.BCEWithLogitsLoss()
    history = []
    for _ in range(10):
        for inputs, targets in learn:
            optimiser.zero_grad()
            loss(layer(inputs).view(-1), targets).backward()
            optimiser.step()
        with torch.no_grad():
            pairs = [(layer(inputs).view(-1), targets) for inputs, targets in held]
        predicted, truth = (torch.cat(part).numpy() for part in zip(*pairs, strict=True))
        history.append(r2_score(truth, predicted) if name.endswith("regr") else f1_score(truth, predicted > 0))
    return history


def test_every_epoch_of_every_fold_is_that_of_the_plain_loop(labels: Path, vectors: pd.DataFrame) -> None:
    expected = reference(labels, vectors)
    given = Vectors(tuple(vectors.index), vectors.to_numpy(np.float32))
    found = {one.task: one for one in score(read_tasks(labels), given, CPU, _silent) if one.vectors == "embeddings"}
    assert sorted(found) == ["biomass", "cloudy", "crops"]
    for task, history in expected.items():
        np.testing.assert_allclose(found[task].best, history.max(axis=1), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[task].last, history[:, -1], rtol=1e-4, atol=1e-4)
        best = history.max(axis=1)
        assert found[task].q == pytest.approx(2 * np.nanmean(best) / (0.02 + np.nanstd(best)), rel=1e-3)


def test_q_is_the_reference_formula() -> None:
    assert protocol.q(np.ones(40)) == pytest.approx(100)
    assert protocol.q(np.array([0.4, 0.6])) == pytest.approx(100 * 0.5 / (1 + 50 * 0.1))
    assert protocol.q(np.array([-0.5, -0.5])) == pytest.approx(-50)


def test_splits_are_those_of_sklearn_and_each_test_fold_is_a_tenth() -> None:
    split = protocol.splits(95)
    assert split.train.shape == (40, 85)
    assert split.test.shape == (40, 10)
    expected = list(ShuffleSplit(n_splits=40, test_size=0.1, random_state=42).split(np.empty((95, 1))))
    np.testing.assert_array_equal(split.test, [test for _, test in expected])
    np.testing.assert_array_equal(split.train, [train for train, _ in expected])


def test_one_mean_and_one_deviation_scale_all_dimensions() -> None:
    scaled = protocol.scaled(np.array([[0, 10], [0, 30]], np.float32))
    np.testing.assert_allclose(scaled, (np.array([[0, 10], [0, 30]]) - 10) / np.sqrt(150), rtol=1e-6)
    np.testing.assert_array_equal(protocol.scaled(np.full((3, 2), 7, np.float32)), np.zeros((3, 2)))


def _silent(done: int, total: int, what: str) -> None:
    assert 0 < done <= total
    assert what
