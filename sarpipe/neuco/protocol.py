"""The benchmark's protocol: 40 shuffle splits, a linear probe of ten epochs, and the best epoch on the test fold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sarpipe.neuco import metric
from sarpipe.neuco.labels import Kind

FOLDS, TEST_SHARE, SEED = 40, 0.1, 42
EPOCHS, BATCH, RATE = 10, 64, 1e-3
FEWEST = 11
"""Places of a task: with fewer, a test fold is one place, which has no R²."""


@dataclass(frozen=True)
class Split:
    """All splits of a task: rows to learn from ``[K, n_train]`` and to test on ``[K, n_test]``."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def splits(places: int) -> Split:
    """The 40 splits of so many places, the same for every task of this size and for all vectors.

    They are random: neighbours stand on both sides, so that scores on a region of near places flatter.
    """
    from sklearn.model_selection import ShuffleSplit

    splitter = ShuffleSplit(n_splits=FOLDS, test_size=TEST_SHARE, random_state=SEED)
    pairs = list(splitter.split(np.empty((places, 1))))
    return Split(np.stack([train for train, _ in pairs]), np.stack([test for _, test in pairs]))


def scaled(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """All values by one mean and one deviation, as the benchmark's reader scales them."""
    deviation = vectors.std()
    values: NDArray[np.float32] = (vectors - vectors.mean()) / (deviation if deviation else np.float32(1))
    return values


def unit_range(labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Labels from 0 to 1, over all places of the task; they must vary."""
    low, high = labels.min(), labels.max()
    values: NDArray[np.float64] = (labels - low) / (high - low)
    return values


def generator() -> torch.Generator:
    """The one stream of random numbers from which all tasks of a run draw, in the order of their names."""
    return torch.Generator().manual_seed(SEED)


def probe(
    vectors: NDArray[np.float32],
    labels: NDArray[np.float64],
    kind: Kind,
    random: torch.Generator,
    device: torch.device,
    on_epoch: Callable[[], None],
) -> NDArray[np.float64]:
    """The score on the test fold after every epoch, ``float64 [40, 10]``: R² or F1.

    ``nn.Linear(D, 1)`` with its own initial weights, AdamW with its defaults, mean squared error or binary
    cross-entropy. The 40 probes are trained as one batch: none touches another, so each is the one that the
    benchmark trains alone, with its initial weights and its order of places, up to the rounding of sums. For that the
    random numbers are drawn in the benchmark's order, those included that its loaders draw and do not use.

    Args:
        vectors: ``[N, D]``, scaled.
        labels: ``[N]``, 0 to 1.
        kind: Of the task.
        random: From `generator`; goes on from task to task.
        device: Where the probes are trained.
        on_epoch: Called after each.
    """
    split = splits(len(labels))
    drawn = _draw(split, vectors.shape[1], random)
    x = torch.from_numpy(vectors).to(device)
    y = torch.from_numpy(labels.astype(np.float32)).to(device)
    test = torch.from_numpy(split.test).to(device)
    weight, bias = drawn.weight.to(device), drawn.bias.to(device)
    optimiser = torch.optim.AdamW([weight, bias], lr=RATE)
    score = metric.r_squared if kind == "regr" else metric.f1
    history = []
    for order in drawn.orders:
        for rows in torch.split(order.to(device), BATCH, dim=1):
            batch = x.index_select(0, rows.flatten()).view(*rows.shape, -1)
            predicted = (batch @ weight[:, :, None]).squeeze(2) + bias[:, None]
            slope = _slope(predicted, y[rows], kind)
            weight.grad, bias.grad = (slope[:, None] @ batch).squeeze(1), slope.sum(dim=1)
            optimiser.step()
        predicted = (x @ weight.T + bias).T.gather(1, test)
        history.append(score(predicted.cpu().numpy(), y[test].cpu().numpy()))
        on_epoch()
    return np.stack(history, axis=1)


def q(scores: NDArray[np.float64]) -> float:
    """``2 mean / (0.02 + deviation)`` of the scores of the folds: at most 100, below 0 where the mean is."""
    return float(2 * scores.mean() / (0.02 + scores.std()))


@dataclass(frozen=True)
class _Drawn:
    """What chance decides: weights ``[K, D]``, biases ``[K]``, and the rows of each epoch in order ``[K, n_train]``."""

    weight: torch.Tensor
    bias: torch.Tensor
    orders: list[torch.Tensor]


def _draw(split: Split, dimensions: int, random: torch.Generator) -> _Drawn:
    weights, biases, orders = [], [], []
    bound = 1 / math.sqrt(dimensions)
    for train, test in zip(split.train, split.test, strict=True):
        weight = torch.nn.init.kaiming_uniform_(torch.empty(1, dimensions), a=math.sqrt(5), generator=random)
        weights.append(weight[0])
        biases.append(torch.empty(1).uniform_(-bound, bound, generator=random)[0])
        epochs = []
        for _ in range(EPOCHS):
            epochs.append(torch.from_numpy(train)[_loader_order(len(train), random)])
            _loader_order(len(test), random)
        orders.append(torch.stack(epochs))
    return _Drawn(torch.stack(weights), torch.stack(biases), list(torch.stack(orders, dim=1)))


def _loader_order(places: int, random: torch.Generator) -> torch.Tensor:
    """The order in which a DataLoader with a random sampler goes through; it draws a seed for workers first."""
    torch.empty((), dtype=torch.int64).random_(generator=random)
    return torch.randperm(places, generator=random)


def _slope(predicted: torch.Tensor, labels: torch.Tensor, kind: Kind) -> torch.Tensor:
    """The gradient of each probe's loss, the mean over its batch, by its predictions ``[K, batch]``.

    Written out, as automatic differentiation takes the product with the batch the slow way round: twice the time.
    """
    wrong = 2 * (predicted - labels) if kind == "regr" else predicted.sigmoid() - labels
    return wrong / predicted.shape[1]
