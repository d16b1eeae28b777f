from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarpipe.cubes import CubeSet
from sarpipe.errors import DataError
from sarpipe.evaluate import Encode, evaluate, probe
from sarpipe.evaluate.baselines.band_statistics import band_statistics
from sarpipe.evaluate.baselines.mean_pool import mean_pool
from sarpipe.evaluate.encoded import encode_all
from sarpipe.evaluate.evaluation import _permuted
from sarpipe.evaluate.probe import predict
from sarpipe.evaluate.score import measure
from sarpipe.evaluate.window import corner
from sarpipe.preprocess.place import make_cube
from sarpipe.preprocess.recipe import SarRecipe
from sarpipe.preprocess.temporal import statistics
from sarpipe.ssl4eo.store import read_store

MakeCubes = Callable[..., CubeSet]


def test_a_perfect_encoder_wins_everything_and_is_said_to(
    make_cubes: MakeCubes, perfect: Encode, blind: Encode
) -> None:
    found = evaluate(make_cubes(120), perfect, blind)
    ours, noise = found["methods"]["sarpipe"], found["methods"]["random_weights"]
    assert found["n"] == 120
    assert ours["retrieval"]["recall_at_1"] == {"value": 1.0, "interval": [1.0, 1.0]}
    assert noise["retrieval"]["recall_at_1"]["value"] < 0.06
    assert ours["probe"]["slope"]["r2"] > 0.95
    assert noise["mean_r2"]["value"] < 0.05
    assert ours["rankme"] == pytest.approx(8, abs=0.3)
    assert {name: method["dimensions"] for name, method in found["methods"].items()} == {
        "sarpipe": 8,
        "random_weights": 8,
        "random_convolutions": 119,
        "pca": 119,
        "pca_whitened": 119,
        "band_statistics": 108,
        "date_statistics": 72,
        "mean_pool": 768,
        "mean_pool_whitened": 119,
        "date_pool": 512,
        "position": 12,
        "random_vectors": 1024,
    }
    ladder, *claims = found["claims"]
    assert ladder.startswith(f"The embedding stands on rung {found['rung']} of 4")
    assert sum(" beats the same encoder with random weights" in claim for claim in claims if "corner" not in claim) == 3
    assert all("proxy task" in claim for claim in claims)
    assert "anecdote" not in " ".join(claims)
    assert len(claims) == len(set(claims))


def test_a_worse_encoder_is_said_to_be_worse(make_cubes: MakeCubes, perfect: Encode, blind: Encode) -> None:
    found = evaluate(make_cubes(60), blind, perfect)
    claims = [claim for claim in found["claims"][1:] if "random weights" in claim and "corner" not in claim]
    assert len(claims) == 3
    assert all(re.search(r"does not beat the same encoder with random weights \(1?[.0-9]+\): -", c) for c in claims)
    assert all("anecdote" in claim for claim in claims)
    assert found["rung"] == 0


def test_a_baseline_that_is_the_same_shows_no_difference(make_cubes: MakeCubes) -> None:
    found = evaluate(make_cubes(60), band_statistics, band_statistics)
    retrieval = ["recall_at_1", "mrr", "displaced_recall_at_1", "displaced_mrr"]
    measures = ["mean_r2", *retrieval, "r2:slope", "r2:first"]
    same = [row for row in found["differences"] if row["baseline"] in ("random_weights", "band_statistics")]
    assert [row["measure"] for row in same] == measures * 2
    assert all(row["difference"] == 0 and row["interval"] == [0, 0] for row in same)
    open_claims = [claim for claim in found["claims"] if "no difference is shown" in claim]
    assert len(open_claims) == 5
    assert all("random weights" in claim and "band statistics" in claim for claim in open_claims)


def test_position_is_probed_and_is_no_answer_in_the_retrieval(
    make_cubes: MakeCubes, perfect: Encode, blind: Encode
) -> None:
    cubes = make_cubes(60)
    truth = cubes.truth.assign(north=cubes.index["latitude"])
    found = evaluate(replace(cubes, truth=truth), perfect, blind)
    where = found["methods"]["position"]
    assert where["retrieval"] is None
    assert where["probe"]["north"]["r2"] > 0.95
    assert where["probe"]["slope"]["r2"] < 0.1
    assert {row["measure"] for row in found["differences"] if row["baseline"] == "position"} == {
        "mean_r2",
        "r2:slope",
        "r2:first",
        "r2:north",
    }
    assert any("not in the retrieval, of which it is the answer" in note for note in found["notes"])


def test_baselines_may_learn_from_other_places_than_are_measured(
    make_cubes: MakeCubes, perfect: Encode, blind: Encode
) -> None:
    cubes, others = make_cubes(40), make_cubes(12, seed=1).cubes
    found = evaluate(cubes, perfect, blind, learn_from=others)["methods"]
    assert [found[name]["dimensions"] for name in ("pca", "random_convolutions")] == [11, 11]
    unlike = evaluate(cubes, perfect, blind, learn_from=others[::-1] + np.float32(1))["methods"]
    assert found["pca"] != unlike["pca"]
    assert found["band_statistics"] == unlike["band_statistics"]


def test_columns_that_are_not_probed_and_small_numbers_are_noted(
    make_cubes: MakeCubes, perfect: Encode, blind: Encode
) -> None:
    notes = " ".join(evaluate(make_cubes(40), perfect, blind)["notes"])
    for words in ("40 places: the figures are anecdotes", "not probed: always", "RankMe is at most", "proxy"):
        assert words in notes


@pytest.mark.parametrize("n", [0, 1, 2, 6])
def test_few_places_without_truth_give_what_can_be_had(
    make_cubes: MakeCubes, perfect: Encode, blind: Encode, n: int
) -> None:
    found = evaluate(make_cubes(n, truth=False), perfect, blind)
    json.dumps(found, allow_nan=False)
    assert "no truth beside the stores" in " ".join(found["notes"])
    assert ("pca" in found["methods"]) == (n > 0)
    for name, method in found["methods"].items():
        assert method["probe"] is None
        assert method["mean_r2"] is None
        assert (method["retrieval"] is None) == (n < 2 or name == "position")
        assert (method["rankme"] is None) == (n < 2)
    assert found["rung"] is None
    assert len(found["claims"]) == (1 if n >= 2 else 0)


def test_pixels_without_data_are_borne_and_places_without_data_are_left_out_and_counted(
    make_cubes: MakeCubes, perfect: Encode, blind: Encode
) -> None:
    cubes = make_cubes(50)
    cubes.cubes[np.random.default_rng(0).random(cubes.cubes.shape) < 0.1] = np.nan
    cubes.cubes[3, 1] = np.nan
    cubes.frames[[7, 8], 2] = np.nan  # one date of the first half: still there
    cubes.frames[9, [0, 2]] = np.nan  # both
    found = evaluate(cubes, perfect, blind)
    json.dumps(found, allow_nan=False)
    assert found["n"] == 49
    assert {method["retrieval"]["n"] for name, method in found["methods"].items() if name != "position"} == {48}
    assert "1 places without data are left out" in found["notes"]
    assert any(note.startswith("1 places without a date with data in one half") for note in found["notes"])
    assert found["methods"]["sarpipe"]["retrieval"]["recall_at_1"]["value"] == 1


def with_dates(cubes: CubeSet, counts: list[int]) -> CubeSet:
    """The set, each place with the first so many of its dates."""
    frames = cubes.frames.copy()
    for place, count in enumerate(counts):
        frames[place, count:] = np.nan
    return replace(cubes, frames=frames, cubes=statistics(frames))


@pytest.mark.parametrize(("dates", "paired"), [([1], 0), ([2], 40), ([3], 40), ([1, 2, 3, 4], 30), ([1, 4], 20)])
def test_places_of_fewer_dates_are_measured_and_found_again_where_a_date_is_on_both_sides(
    make_cubes: MakeCubes, perfect: Encode, blind: Encode, dates: list[int], paired: int
) -> None:
    cubes = with_dates(make_cubes(40), dates * (40 // len(dates)))
    found = evaluate(cubes, perfect, blind)
    json.dumps(found, allow_nan=False)
    assert found["n"] == 40
    for name, method in found["methods"].items():
        assert (method["retrieval"] or {"n": 0})["n"] == (0 if name == "position" else paired)
        assert method["rankme"] > 1
        assert method["mean_r2"] is not None
    assert found["methods"]["band_statistics"]["dimensions"] == 108
    if paired:
        assert found["methods"]["sarpipe"]["retrieval"]["recall_at_1"]["value"] > 0.95
    single = 40 // len(dates) if 1 in dates else 0
    assert any(note.startswith(f"{single} places have no pixel with two dates") for note in found["notes"]) == (
        single > 0
    )
    assert any("retrieval was not measured" in note for note in found["notes"]) == (paired == 0)


def test_what_band_statistics_do_not_know_is_as_good_as_the_mean(make_cubes: MakeCubes) -> None:
    cubes = with_dates(make_cubes(6), [1, 2, 3, 4, 4, 4])
    encoded = encode_all(cubes, {"b": band_statistics}, lambda _: None, may_not_know=["b"])
    known = band_statistics(cubes.cubes)
    assert np.isnan(known[0, 4:12]).all()
    np.testing.assert_allclose(encoded.whole["b"][0, 4:12], known[1:, 4:12].mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(encoded.whole["b"][1:], known[1:])
    assert np.isfinite(encoded.query["b"]).all()
    with pytest.raises(DataError, match="not finite"):
        encode_all(cubes, {"b": band_statistics}, lambda _: None)


def test_methods_of_single_dates_are_given_vv_and_vh_of_the_dates_of_each_view(make_cubes: MakeCubes) -> None:
    cubes = with_dates(make_cubes(6), [4, 4, 4, 4, 3, 4])
    encoded = encode_all(cubes, {}, lambda _: None, may_not_know=["d"], of_bands={"d": band_statistics})
    bands = cubes.frames[:, :, :2].astype(np.float32).reshape(6, 8, 64, 64)
    known = band_statistics(bands)
    whole = encoded.whole["d"]
    np.testing.assert_array_equal(whole[[0, 1, 2, 3, 5]], known[[0, 1, 2, 3, 5]])
    # The fourth date of the fifth place is not known: it is as good as the mean.
    np.testing.assert_allclose(whole[4, 6:8], known[[0, 1, 2, 3, 5], 6:8].mean(axis=0), rtol=1e-5)
    query, gallery = (bands[:, rows] for rows in ([0, 1, 4, 5], [2, 3, 6, 7]))
    np.testing.assert_array_equal(encoded.query["d"], band_statistics(query))
    assert encoded.gallery["d"].shape == (6, 36)
    both = np.concatenate([band_statistics(query), band_statistics(gallery)])
    np.testing.assert_allclose(encoded.gallery["d"][4, 2:4], np.nanmean(both, axis=0)[2:4], rtol=1e-5)
    np.testing.assert_array_equal(encoded.query_corner["d"], band_statistics(corner(query, last=False)))
    assert np.isfinite(encoded.gallery_corner["d"]).all()


def test_the_bands_of_single_dates_know_what_no_statistic_over_time_tells(make_cubes: MakeCubes) -> None:
    cubes = make_cubes(60)
    # A level that the second date has more and the third less: mean, deviation and last minus first are the same.
    sign = np.random.default_rng(5).choice([-1.0, 1.0], 60)
    frames = cubes.frames.copy()
    frames[:, 1, 0] += sign[:, None, None].astype(np.float16)
    frames[:, 2, 0] -= sign[:, None, None].astype(np.float16)
    truth = pd.DataFrame({"id": list(cubes.ids), "when": sign})
    found = evaluate(replace(cubes, frames=frames, cubes=statistics(frames), truth=truth), band_statistics, mean_pool)
    r2 = {name: method["mean_r2"]["value"] for name, method in found["methods"].items()}
    assert min(r2["date_statistics"], r2["date_pool"]) > 0.9
    assert max(r2["band_statistics"], r2["mean_pool"]) < 0.2
    lost = {row["baseline"] for row in found["differences"] if row["measure"] == "mean_r2" and row["interval"][1] < 0}
    assert {"date_statistics", "date_pool"} <= lost


def leak_of_the_truth(vectors: np.ndarray, values: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """A probe that is handed the truth beside the vectors."""
    return predict(np.concatenate([vectors, values], axis=1), values, groups, seed)


def leak_of_the_test_places(vectors: np.ndarray, values: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """A probe that is fitted on the places it is tested on too."""
    design = np.c_[vectors, np.ones(len(vectors))]
    return design @ np.linalg.lstsq(design, values, rcond=None)[0]


@pytest.mark.parametrize("leak", [leak_of_the_truth, leak_of_the_test_places])
def test_permuted_labels_are_not_read_but_where_the_probe_leaks(
    make_cubes: MakeCubes, perfect: Encode, monkeypatch: pytest.MonkeyPatch, leak: Callable[..., object]
) -> None:
    cubes = make_cubes(60)
    sound = measure(cubes, encode_all(cubes, {"sarpipe": perfect}, lambda _: None), 0, lambda _: None)
    assert sound.scores["sarpipe"].figures()["mean_r2"].value > 0.9
    permuted = _permuted(sound.encoded, sound.targets, 0)
    assert permuted["n"] == 60
    assert permuted["value"] < 0.02
    monkeypatch.setattr(probe, "predict", leak)
    leaking = _permuted(sound.encoded, sound.targets, 0)
    assert leaking["interval"][0] > 0.02


def test_every_method_is_given_the_same_cubes(make_cubes: MakeCubes, perfect: Encode) -> None:
    seen: dict[str, list[np.ndarray]] = {"ours": [], "random": []}

    def spy(name: str) -> Encode:
        def encode(cubes: np.ndarray) -> np.ndarray:
            seen[name].append(cubes.copy())
            return perfect(cubes)

        return encode

    evaluate(make_cubes(12), spy("ours"), spy("random"))
    assert len(seen["ours"]) == len(seen["random"]) == 5
    for ours, other in zip(seen["ours"], seen["random"], strict=True):
        np.testing.assert_array_equal(ours, other)


def test_neighbours_share_a_fold_and_a_note_says_how_many(make_cubes: MakeCubes, perfect: Encode) -> None:
    # Truth and vectors know the cluster alone: with clusters split between folds this would be read well.
    cubes = make_cubes(60)
    groups = np.repeat(np.arange(12), 5)
    index = cubes.index.assign(latitude=groups * 2.0 - 20, longitude=np.tile(np.arange(5) * 0.03, 12))
    truth = pd.DataFrame({"id": list(cubes.ids), "luck": np.random.default_rng(0).standard_normal(12)[groups]})
    names = np.random.default_rng(1).standard_normal((12, 40))[groups].astype(np.float32)
    latents = perfect(cubes.cubes)

    def encode(images: np.ndarray) -> np.ndarray:
        nearest = np.square(perfect(images)[:, None] - latents[None]).sum(axis=2).argmin(axis=1)
        return names[nearest]

    found = evaluate(replace(cubes, index=index, truth=truth), encode, encode)
    blocked = found["methods"]["sarpipe"]
    assert blocked["probe"]["luck"]["r2"] < 0.1
    # Places drawn one by one: the neighbour gives it away.
    assert blocked["random_split"]["mean_r2"]["value"] > 0.8
    assert blocked["random_split"]["optimism"]["interval"][0] > 0.5
    assert any(note.startswith("60 places have another within 5 km") for note in found["notes"])
    alone = evaluate(replace(cubes, truth=truth), encode, encode)
    assert alone["methods"]["sarpipe"]["probe"]["luck"]["r2"] > 0.8


def test_the_same_seed_gives_the_same_figures(make_cubes: MakeCubes, perfect: Encode, blind: Encode) -> None:
    first, again, other = (evaluate(make_cubes(30), blind, perfect, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["methods"] != other["methods"]


def test_an_encoder_that_gives_nonsense_is_named(make_cubes: MakeCubes, perfect: Encode) -> None:
    def broken(cubes: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(cubes))[:, None] == 2, np.nan, perfect(cubes))

    with pytest.raises(DataError, match="random_weights gives numbers that are not finite for 'place-2'"):
        evaluate(make_cubes(5), perfect, broken)
    with pytest.raises(DataError, match=r"sarpipe gives an array \[5, 12\] for 6 cubes"):
        evaluate(make_cubes(6), lambda cubes: np.zeros((5, 12), np.float32), perfect)


def test_six_pictures_of_a_real_place_are_measured_and_said_to_be_anecdotes(
    real_data: Path, perfect: Encode, blind: Encode
) -> None:
    store = read_store(next((real_data / "S1GRD").glob("*.zarr.zip")))
    made = [make_cube(place, SarRecipe()) for place in store.db]
    where = {"latitude": store.latitude, "longitude": store.longitude, "dates": list(store.dates)}
    where["orbit_passes"] = list(store.orbit_passes)
    index = pd.DataFrame({"id": list(store.ids), **where})
    cubes = CubeSet(
        store.ids,
        np.stack([one.cube for one in made]),
        np.stack([one.frames for one in made]).astype(np.float16),
        index,
        None,
    )
    found = evaluate(cubes, perfect, blind)
    json.dumps(found, allow_nan=False)
    assert found["n"] == 6
    assert "6 places: the figures are anecdotes" in found["notes"][0]
    assert all(one["interval"] is None for one in found["differences"])
    assert all("6 places are too few" in claim for claim in found["claims"])
