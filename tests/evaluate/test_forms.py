from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from sarpipe.cubes import CubeSet
from sarpipe.embeddings.forms import FORMS, Form
from sarpipe.evaluate import forms as module
from sarpipe.evaluate.encoded import Encoded
from sarpipe.evaluate.forms import measure_forms
from sarpipe.evaluate.score import Measured, measure

LATENTS, WIDTH = 6, 80


def places(count: int, *, truth: bool = True, views: float = 0.3) -> tuple[Encoded, Measured]:
    """Places of six numbers that the truth is made of, in vectors of 80; the rival knows one of them."""
    rng = np.random.default_rng(count)
    latents = rng.standard_normal((count, LATENTS))
    spread, of_one = rng.standard_normal((LATENTS, WIDTH)), rng.standard_normal((1, WIDTH))

    def vectors(known: np.ndarray, into: np.ndarray) -> np.ndarray:
        return (known @ into + views * rng.standard_normal((count, WIDTH))).astype(np.float32)

    def both() -> dict[str, np.ndarray]:
        return {"sarpipe": vectors(latents, spread), "pca": vectors(latents[:, :1], of_one)}

    ids = tuple(f"p{i}" for i in range(count))
    index = pd.DataFrame({"id": ids, "latitude": np.linspace(-60, 60, count), "longitude": 0.0})
    table = pd.DataFrame({"id": ids, "one": latents[:, 0], "sum": latents.sum(axis=1)})
    empty = np.zeros((count, 1, 1, 1), np.float32)
    cubes = CubeSet(ids, empty, empty[None], index, table if truth else None)
    rows = np.arange(count)
    encoded = Encoded(rows, rows, both(), both(), both(), both(), both())
    return encoded, measure(cubes, encoded, 0, lambda _: None)


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def measured() -> tuple[Measured, dict[str, Any]]:
    encoded, known = places(180)
    return known, measure_forms(encoded, known, 0, quiet)


def test_the_embedding_as_it_is_has_the_figures_of_the_evaluation(measured: tuple[Measured, dict[str, Any]]) -> None:
    known, found = measured
    whole, scores = found["forms"]["float32"], known.scores["sarpipe"]
    # Of the first seed of the folds, where the evaluation has the mean over three.
    assert whole["mean_r2"]["value"] == pytest.approx(scores.figures()["mean_r2"].value, abs=0.01)
    assert whole["retrieval"]["recall_at_1"] == scores.retrieval["recall_at_1"].as_json()
    assert whole["displaced_retrieval"]["mrr"] == scores.displaced["mrr"].as_json()
    assert whole["bytes"] == WIDTH * 4


def test_nested_codes_are_measured_each_for_itself(measured: tuple[Measured, dict[str, Any]]) -> None:
    nested = measured[1]["nested"]
    # All components that 80 dimensions have stand for the two longest.
    assert [one["bytes"] for one in nested.values()] == [16, 32, WIDTH]
    assert len({one["mean_r2"]["value"] for one in nested.values()}) == 3
    assert all({"mean_r2", "recall_at_1"} <= one["differences"].keys() for one in nested.values())


def test_every_form_has_its_bytes_and_its_losses_on_every_target(measured: tuple[Measured, dict[str, Any]]) -> None:
    _, found = measured
    assert list(found["forms"]) == ["float32", *FORMS]
    assert found["n"] == 180
    for name, kind in FORMS.items():
        one, form = found["forms"][name], kind.fit(np.random.default_rng(0).standard_normal((180, WIDTH), np.float32))
        assert one["bytes"] == form.bytes_a_place
        assert {"mean_r2", "r2:one", "r2:sum", "knn:20", "recall_at_1", "displaced_recall_at_1"} <= one[
            "differences"
        ].keys()
        gap = one["differences"]["mean_r2"]
        whole = found["forms"]["float32"]["mean_r2"]["value"]
        assert gap["difference"] == pytest.approx(one["mean_r2"]["value"] - whole)
        assert gap["loss_percent"] == pytest.approx(-100 * gap["difference"] / whole)
        assert gap["loss_interval"][0] <= gap["loss_percent"] <= gap["loss_interval"][1]
        assert (one["same_places"] is None) == (name in ("float16", "int8"))


def test_what_hardly_rounds_hardly_loses_and_the_rival_has_less(measured: tuple[Measured, dict[str, Any]]) -> None:
    _, found = measured
    for name in ("float16", "int8"):
        assert abs(found["forms"][name]["differences"]["mean_r2"]["loss_percent"]) < 0.1
    assert list(found["rivals"]) == ["64", "80"]
    for rival in found["rivals"].values():
        assert rival["differences"]["mean_r2"]["loss_interval"][0] > 10


@dataclass(frozen=True, eq=False)
class Memory(Form):
    """A codebook of the places themselves: it gives those back as they are, and of others the nearest."""

    known: np.ndarray

    element: ClassVar[np.dtype[Any]] = np.dtype("u1")

    @classmethod
    def fit(cls, vectors: np.ndarray) -> "Memory":
        return cls(vectors)

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        return np.square(vectors[:, None] - self.known).sum(axis=2).argmin(axis=1).astype(np.uint8)[:, None]

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return self.known[codes[:, 0]]

    def check(self, dimensions: int) -> None:
        pass

    @property
    def bytes_a_place(self) -> int:
        return 1


def test_a_form_is_measured_on_places_from_which_it_has_not_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, known = places(180)
    monkeypatch.setattr(module, "FORMS", {"memory": Memory})
    one = measure_forms(encoded, known, 0, quiet)["forms"]["memory"]
    assert one["same_places"]["mean_r2"]["loss_percent"] == pytest.approx(0, abs=1e-6)
    assert one["differences"]["mean_r2"]["loss_interval"][0] > 10


def test_without_truth_the_retrieval_alone_is_measured() -> None:
    encoded, known = places(165, truth=False)
    one = measure_forms(encoded, known, 0, quiet)["forms"]["pq"]
    assert one["mean_r2"] is None
    assert one["probe"] is None
    assert one["differences"].keys() == {"recall_at_1", "mrr", "displaced_recall_at_1", "displaced_mrr"}


def test_few_places_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, known = places(100)
    found = measure_forms(encoded, known, 0, quiet)
    assert (found["forms"], found["rivals"]) == ({}, {})
    assert "100 places" in found["notes"][0]


def test_of_many_places_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, known = places(240)
    monkeypatch.setattr(module, "PLACES", 170)
    monkeypatch.setattr(module, "FORMS", {"int8": FORMS["int8"]})
    found = measure_forms(encoded, known, 0, quiet)
    assert found["n"] == 170
    assert found["notes"][0] == "smaller forms: measured on 170 of 240 places, drawn at random"
    assert abs(found["forms"]["int8"]["differences"]["mean_r2"]["loss_percent"]) < 0.1
