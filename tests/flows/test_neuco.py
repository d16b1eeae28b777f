from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarpipe.flows.cli import main
from sarpipe.storage import commit

PLACES = [f"p{i:02d}" for i in range(30)]


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).standard_normal((30, 1024)).astype(np.float32)
    pd.DataFrame(values, index=pd.Index(PLACES, name="id")).to_csv(tmp_path / "embeddings.csv")
    return tmp_path / "embeddings.csv"


@pytest.fixture
def labels(tmp_path: Path, embeddings: Path) -> Path:
    folder = tmp_path / "labels"
    folder.mkdir()
    column = pd.read_csv(embeddings, index_col="id")["3"].rename("label")
    column.to_csv(folder / "third__regr.csv")
    return folder


def test_it_scores_and_says_what_it_is(labels: Path, embeddings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = labels.parent / "neuco.csv"
    assert main(["neuco", str(labels), "--embeddings", str(embeddings), "--out", str(out), "--json"]) == 0
    said, screen = capsys.readouterr()
    document = json.loads(said)
    rows = {row["vectors"]: row for row in document["scores"]}
    assert list(rows) == ["embeddings", "standardised", "random"]
    assert rows["embeddings"]["n"] == 30
    assert document["mean_q"]["embeddings"] == rows["embeddings"]["q"]
    assert rows["embeddings"]["best"] >= rows["embeddings"]["last"]
    assert "1 tasks, n=30" in screen
    assert "only if the labels are NeuCo-Bench's" in screen
    written = list(csv.DictReader(out.read_text().splitlines()))
    assert [float(row["q"]) for row in written] == [row["q"] for row in document["scores"]]


def test_places_without_a_vector_are_named(labels: Path, embeddings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (labels / "third__regr.csv").open("a") as file:
        file.write("q99,1\nq98,\n")
    assert main(["neuco", str(labels), "--embeddings", str(embeddings)]) == 3
    screen = capsys.readouterr().err
    assert "1 places with labels are left out: 'q99'" in screen
    assert "1 rows of third are skipped" in screen
    assert main(["neuco", str(labels), "--embeddings", str(embeddings), "--check"]) == 3
    assert "1 ids of the labels are missing: 'q99'" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_a_damaged_csv_beside_its_manifest_is_not_scored(
    labels: Path, embeddings: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    made = commit(labels.parent / "made", {"stage": "embed"}, lambda folder: shutil.copy(embeddings, folder) and None)
    csv_file = made.path("embeddings.csv")
    command = ["neuco", str(labels), "--embeddings", str(csv_file), *options]
    assert main(command) == 0
    content = bytearray(csv_file.read_bytes())
    # Another number, which is as good a number as the right one.
    at = content.rindex(b"1")
    content[at : at + 1] = b"3"
    csv_file.write_bytes(content)
    assert main(command) == 1
    assert "embeddings.csv does not match its checksum" in capsys.readouterr().err
    assert main(["neuco", str(labels), "--embeddings", str(shutil.copy(csv_file, labels.parent)), *options]) == 0


def test_check_alone_scores_nothing(labels: Path, embeddings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["neuco", str(labels), "--embeddings", str(embeddings), "--check", "--json"]) == 0
    said, screen = capsys.readouterr()
    assert json.loads(said)["problems"] == []
    assert "keeps the benchmark's rules" in screen


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("third__cls.csv", "", "30 different labels"),
        ("few__regr.csv", "p01,1\np02,2\n", "2 of 2 labels have a vector"),
        ("even__regr.csv", "".join(f"{place},1\n" for place in PLACES), "all labels are 1"),
    ],
)
def test_tasks_that_cannot_be_scored_are_refused(
    labels: Path, embeddings: Path, name: str, rows: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = labels / "third__regr.csv"
    text = path.read_text()
    path.unlink()
    (labels / name).write_text("id,label\n" + rows if rows else text)
    assert main(["neuco", str(labels), "--embeddings", str(embeddings)]) == 1
    assert said in capsys.readouterr().err


def test_results_that_find_no_room_leave_the_old_ones(
    labels: Path, embeddings: Path, disk: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk("size=4k") / "neuco.json"
    out.write_bytes(b"old results")
    assert main(["neuco", str(labels), "--embeddings", str(embeddings), "--out", str(out), "--json"]) == 1
    said, screen = capsys.readouterr()
    assert json.loads(said)["code"] == "disk-full"
    assert "Traceback" not in screen
    assert out.read_bytes() == b"old results"


def test_a_file_of_results_is_csv_or_json(labels: Path, embeddings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["neuco", str(labels), "--embeddings", str(embeddings), "--out"]
    assert main([*command, "results.txt"]) == 2
    assert "neither .csv nor .json" in capsys.readouterr().err
