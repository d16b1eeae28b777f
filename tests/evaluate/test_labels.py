from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from benchmarks.real_labels import water
from sarpipe.errors import UsageError
from sarpipe.evaluate.baselines.band_statistics import band_statistics
from sarpipe.evaluate.blocks import blocks
from sarpipe.evaluate.encoded import known_mean
from sarpipe.evaluate.label_probe import balanced_accuracy, macro_f1, probe_labels
from sarpipe.evaluate.labels import Labels, labels_digest, labels_of, read_labels, together
from sarpipe.preprocess.place import make_cube
from sarpipe.preprocess.recipe import SarRecipe
from sarpipe.ssl4eo.store import read_store


def test_numbers_are_quantities_and_words_are_classes_in_both_formats(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["0012", "b"], "t": [1.5, np.inf], "n": [3, 4], "wet": [True, False], "k": ["x", None]})
    table.to_csv(tmp_path / "one.csv", index=False)
    table.to_parquet(tmp_path / "two.parquet")
    (tmp_path / "notes.txt").write_text("not labels")
    for labels in (files := read_labels(tmp_path)):
        assert list(labels.table["id"]) == ["0012", "b"]
        assert labels.table["t"].tolist()[0] == 1.5
        assert np.isnan(labels.table["t"][1])
        assert labels.table["n"].tolist() == [3.0, 4.0]
        assert labels.table["wet"].tolist() == ["True", "False"]
        assert labels.table["k"].tolist() == ["x", None]
    assert [labels.name for labels in files] == ["one.csv", "two.parquet"]


def test_numbers_in_a_file_that_says_so_are_classes(tmp_path: Path) -> None:
    for name in ("crop__cls.csv", "crop__regr.csv"):
        (tmp_path / name).write_text("id,label\na,1\nb,2\n")
    classes, numbers = read_labels(tmp_path)
    assert classes.table["label"].tolist() == ["1", "2"]
    assert numbers.table["label"].tolist() == [1.0, 2.0]


def test_labels_of_several_files_stand_together_by_place() -> None:
    one = Labels("one.csv", pd.DataFrame({"id": ["b", "a"], "x": [2.0, 1.0], "y": ["n", "m"]}))
    two = Labels("two.csv", pd.DataFrame({"id": ["a", "gone"], "x": [5.0, 6.0]}))
    found = together([one, two], ["a", "c", "b"])
    assert list(found.columns) == ["id", "one.csv: x", "y", "two.csv: x"]
    assert list(found["id"]) == ["a", "c", "b"]
    np.testing.assert_array_equal(found["one.csv: x"], [1, np.nan, 2])
    np.testing.assert_array_equal(found["two.csv: x"], [5, np.nan, np.nan])


def test_the_digest_knows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,x\na,1\n")
    before = labels_digest(file)
    assert before == labels_digest(tmp_path)
    file.write_text("id,x\na,2\n")
    assert before != labels_digest(file)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "place,x\na,1\n", "have the columns place, x"),
        ("a.csv", "id\na\n", "have the columns id"),
        ("a.csv", "id,x\na,1\na,2\n", "have the id 'a' twice"),
        ("a.csv", "", "cannot be read"),
        ("a.parquet", "nonsense", "cannot be read"),
        ("a.json", "{}", "neither .csv nor .parquet"),
    ],
)
def test_what_are_no_labels_is_said(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=said):
        read_labels(tmp_path / name)


def test_a_path_without_labels_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \.csv and no \.parquet"):
        read_labels(tmp_path)
    with pytest.raises(UsageError, match="do not exist"):
        read_labels(tmp_path / "none.csv")


def test_accuracy_and_f1_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [30, 20, 10])
    scores = rng.standard_normal((60, 3)) + np.eye(3)[truth]
    drawn = rng.multinomial(60, np.full(60, 1 / 60), size=5).astype(np.float64)
    accuracy, f1 = (score(np.eye(3)[truth], scores, drawn) for score in (balanced_accuracy, macro_f1))
    given = scores.argmax(axis=1)
    assert accuracy.value == pytest.approx(balanced_accuracy_score(truth, given))
    assert f1.value == pytest.approx(f1_score(truth, given, average="macro"))
    for i in range(5):
        rows = np.repeat(np.arange(60), drawn[i].astype(int))
        assert accuracy.samples[i] == pytest.approx(balanced_accuracy_score(truth[rows], given[rows]))
        assert f1.samples[i] == pytest.approx(f1_score(truth[rows], given[rows], average="macro"))


def test_labels_are_probed_on_blocks_and_random_folds_flatter() -> None:
    # What is to be known depends on the block alone, and so do the vectors: nothing can be learnt of a new block.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 6)
    ids = [f"p{i}" for i in range(120)]
    vectors = {"sarpipe": rng.standard_normal((20, 30))[groups].astype(np.float32)}
    vectors["other"] = vectors["sarpipe"][:, :2]
    level = rng.standard_normal(20)[groups]
    words = np.where(level > 0, "high", "low").astype(object)
    words[0] = "rare"
    labels = Labels("x.csv", pd.DataFrame({"id": [*ids[:110], "gone"], "level": level[:111], "word": words[:111]}))
    found = probe_labels(labels, ids, vectors, groups, 0)
    assert (found["source"], found["rows"], found["known"]) == ("labels x.csv", 111, 110)
    level_found, word = found["columns"]["level"], found["columns"]["word"]
    assert (level_found["kind"], level_found["n"], level_found["blocks"]) == ("quantity", 110, 19)
    r2 = level_found["measures"]["R²"]["sarpipe"]
    assert r2["value"] < 0.2 < 0.8 < r2["random_split"]
    assert r2["interval"][0] < r2["value"] < r2["interval"][1]
    other = level_found["measures"]["R²"]["other"]
    assert other["gap"]["value"] == pytest.approx(r2["value"] - other["value"])
    assert other["gap"]["interval"][0] < other["gap"]["interval"][1]
    assert "gap" not in r2
    assert word["kind"] == "classes"
    assert sum(word["classes"].values()) == word["n"] == 109
    assert "1 places of classes with fewer than 5 are left out" in word["notes"]
    assert word["measures"]["balanced accuracy"]["sarpipe"]["value"] < 0.75
    assert word["measures"]["F1"]["sarpipe"]["random_split"] > 0.9


@pytest.mark.parametrize(
    ("values", "groups", "said"),
    [
        ([1.0] * 40, np.arange(40), "it does not vary"),
        ([1.0, np.nan, np.nan] * 13 + [np.nan], np.arange(40), "13 places have it, 20 are needed"),
        (list(range(40)), np.zeros(40, int), "one block"),
        (["a"] * 40, np.arange(40), "1 classes"),
    ],
)
def test_what_cannot_be_measured_is_said(values: list[object], groups: np.ndarray, said: str) -> None:
    ids = [f"p{i}" for i in range(40)]
    vectors = {"sarpipe": np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)}
    labels = Labels("x.csv", pd.DataFrame({"id": ids, "x": values}))
    column = probe_labels(labels, ids, vectors, groups, 0)["columns"]["x"]
    assert said in column["notes"][-1]
    assert "measures" not in column


def test_real_labels_are_read_from_real_radar(real_data: Path) -> None:
    """Water in Sen1Floods11's hand-drawn masks, from statistics of the cubes: 24 places in 5 blocks."""
    single = real_data / "single_date"
    store = read_store(single / "S1GRD" / "sen1floods11_public_000001.zarr.zip")
    cubes = np.stack([make_cube(place, SarRecipe()).cube for place in store.db])
    statistics = band_statistics(cubes)
    vectors = np.where(np.isnan(statistics), known_mean(statistics), statistics)
    groups = blocks(np.array(store.latitude), np.array(store.longitude))
    labels = labels_of("water.csv", water(single / "labels"))
    found = probe_labels(labels, store.ids, {"band_statistics": vectors}, groups, 0)["columns"]
    assert (found["water"]["n"], found["water"]["blocks"]) == (24, 5)
    assert "24 places are an anecdote" in found["water"]["notes"]
    # Dark is water; on folds that part the places of a flood that is plain to read.
    assert found["water"]["measures"]["R²"]["band_statistics"]["random_split"] > 0.8
    assert found["wet"]["measures"]["balanced accuracy"]["band_statistics"]["random_split"] > 0.8
