"""The examples of docs/embeddings.md, run in the folder of some embeddings."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from sarpipe.embeddings import Embeddings, Origin, export
from sarpipe.neuco.labels import read_tasks

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "embeddings.md").read_text()


def examples(section: str, language: str) -> list[str]:
    body = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", body, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, embeddings: Embeddings, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> Path:
    export(tmp_path, embeddings, origin)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("example", examples("Open the files", "python"))
def test_python(example: str, folder: Path) -> None:
    found: dict[str, object] = {}
    exec(example, found)
    vectors = found.get("vectors")
    if vectors is not None:
        assert vectors.shape in [(4, 1024), (1, 1024)]  # type: ignore[attr-defined]
    else:
        assert found["parquet"] == str(folder / "embeddings.parquet")


SQL = [{"munich"}, {"DJF", "JJA", None}, {"sydney", "centre-only", "nowhere"}]


@pytest.mark.parametrize(("example", "first"), [*zip(examples("Open the files", "sql"), SQL, strict=True)])
def test_sql(example: str, first: set[str | None]) -> None:
    rows = [row[0] for row in duckdb.execute(example).fetchall()]
    assert len(rows) == len(first)
    assert set(rows) == first


def test_labels_from_the_truth_are_tasks(folder: Path) -> None:
    (folder / "stores").mkdir()
    truth = pd.DataFrame({"id": ["0001", "0002"], "fraction_water": [0.1, 0.2], "texture_scale_px": [3.0, 4.0]})
    truth.to_parquet(folder / "stores" / "a.truth.parquet")
    (example,) = examples("NeuCo-Bench", "python")
    exec(example, {})
    tasks = read_tasks(folder / "labels")
    assert [(task.name, task.kind, task.ids) for task in tasks] == [
        ("fraction_water", "regr", ("0001", "0002")),
        ("texture_scale_px", "regr", ("0001", "0002")),
    ]
