from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from sarpipe.cubes import CubeSet
from sarpipe.evaluate import Encode, robustness
from sarpipe.evaluate.encoded import encode_all
from sarpipe.evaluate.perturbation import Disturbances, offset, shift, speckle
from sarpipe.evaluate.robustness import robustness as measure_robustness
from sarpipe.evaluate.score import measure

MakeCubes = Callable[..., CubeSet]
DISTURB: Disturbances = {"offset": [("+1", offset(1.0))], "speckle": [("1", speckle(1))], "shift": [("1", shift(1))]}


def measured(cubes: CubeSet, encode: Encode, *, seed: int = 0) -> dict:
    encoded = encode_all(cubes, {"sarpipe": encode}, lambda _: None)
    found = measure(cubes, encoded, seed, lambda _: None)
    result = measure_robustness(cubes, found, {"sarpipe": encode}, DISTURB, seed, lambda _: None)
    assert result is not None
    return result


def own(result: dict, kind: str, place: int) -> dict:
    return result["kinds"][kind][place]["methods"]["sarpipe"]


def test_a_vector_that_does_not_know_the_level_bears_an_offset_and_another_does_not(
    make_cubes: MakeCubes, perfect: Encode
) -> None:
    cubes = make_cubes(60)

    def level_free(images: np.ndarray) -> np.ndarray:
        vectors = perfect(images)
        return vectors - images[:, 0].mean(axis=(1, 2))[:, None]

    knows, does_not = measured(cubes, perfect), measured(cubes, level_free)
    json.dumps(knows, allow_nan=False)
    assert (knows["n"], knows["of"], knows["probed"]) == (60, 60, 60)
    for result in (knows, does_not):
        assert own(result, "offset", 0)["recall_at_1"]["value"] == 1
        assert own(result, "offset", 0)["cosine"] == pytest.approx(1)
    assert own(does_not, "offset", 1)["cosine"] == pytest.approx(1, abs=1e-3)
    assert own(does_not, "offset", 1)["mean_r2"]["value"] == pytest.approx(
        own(does_not, "offset", 0)["mean_r2"]["value"], abs=1e-3
    )
    assert own(knows, "offset", 1)["mean_r2"]["value"] < own(knows, "offset", 0)["mean_r2"]["value"] - 0.2
    low, high = own(knows, "offset", 1)["mean_r2"]["interval"]
    assert low < own(knows, "offset", 1)["mean_r2"]["value"] < high


def test_the_same_seed_disturbs_the_same_and_too_few_places_give_nothing(
    make_cubes: MakeCubes, perfect: Encode
) -> None:
    assert measured(make_cubes(20, truth=False), perfect) == measured(make_cubes(20, truth=False), perfect)
    one = make_cubes(1, truth=False)
    found = measure(one, encode_all(one, {"sarpipe": perfect}, lambda _: None), 0, lambda _: None)
    assert measure_robustness(one, found, {"sarpipe": perfect}, DISTURB, 0, lambda _: None) is None


def test_of_many_places_a_fixed_part_is_disturbed(
    make_cubes: MakeCubes, perfect: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "MOST", 40)
    result = measured(make_cubes(60), perfect)
    assert (result["n"], result["of"], result["probed"]) == (40, 60, 40)
    assert own(result, "shift", 1)["mean_r2"] is not None
