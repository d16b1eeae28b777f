from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sarpipe.codes import Code
from sarpipe.errors import DataError, UsageError
from sarpipe.runs.compare import compare
from sarpipe.runs.log import note_failure, note_result, run_log, stage_log
from sarpipe.runs.record import find, names, newest
from sarpipe.settings import resolve
from sarpipe.stages.step import Step
from sarpipe.storage import Artefact, commit


def run(data: Path, stores: dict[str, str], r2: float, **overrides: Any) -> Artefact:
    """A run of preprocess, of which only inputs are noted, and evaluate, with these figures."""
    settings = resolve(data=data, overrides={name.replace("__", "."): value for name, value in overrides.items()})

    def write(folder: Path) -> None:
        figure = {"value": r2, "interval": [r2 - 0.1, r2 + 0.1]}
        method = {"mean_r2": figure, "retrieval": {"recall_at_1": figure, "n": 3}, "rankme": 40.0}
        (folder / "figures.json").write_text(json.dumps({"methods": {"sarpipe": method, "random weights": {}}}))

    made = commit(data / "reports" / f"evaluation-{r2}", {"code": "c0de", "inputs": {"model": str(r2)}}, write)
    with run_log(settings, "run", "stores"):
        with stage_log(settings, "preprocess"):
            for name, digest in stores.items():
                step = Step("preprocess", name, None, "", "missing", "", {"inputs": {"store": digest}})
                note_failure(step, DataError("not looked at", code=Code.IO))
        with stage_log(settings, "evaluate"):
            note_result({"folder": str(made.folder), "computed": True}, 10)
    return made


def test_what_differs_is_named_and_what_does_not_is_not(tmp_path: Path) -> None:
    run(tmp_path, {"a": "1", "b": "1", "c": "1"}, 0.5)
    run(tmp_path, {"b": "1", "c": "2", "d": "1"}, 0.6, train__epochs=7)
    second, first = newest(tmp_path, 2)
    found = compare(tmp_path, first, second)
    assert dict(found.settings) == {"train.epochs": (200, 7)}
    assert dict(found.versions) == {}
    assert {name: found.inputs[name] for name in ("added", "removed", "changed", "same")} == {
        "added": ["d"],
        "removed": ["a"],
        "changed": ["c"],
        "same": 1,
    }
    assert found.inputs["of stages"] == {"evaluate: model": ("0.5", "0.6")}
    assert [figure["value"] for figure in found.figures["mean R2"]] == [0.5, 0.6]
    assert found.figures["recall@1"][1]["interval"] == [0.5, 0.7]
    assert found.figures["RankMe"][0] == {"value": 40.0, "interval": None}
    assert found.artefacts["evaluate"]["same"] is False
    assert found.stages["evaluate"]["state"] == ("computed", "computed")
    json.dumps(found.document())


def test_the_same_run_again_differs_in_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        run(tmp_path, {"a": "1"}, 0.5)
    found = compare(tmp_path, *newest(tmp_path, 2))
    assert not found.settings
    assert not found.versions
    assert (found.inputs["same"], found.inputs["of stages"]) == (1, {})
    assert found.artefacts["evaluate"]["same"] is True


def test_figures_of_an_evaluation_that_is_another_by_now_are_not_shown(tmp_path: Path) -> None:
    made = run(tmp_path, {"a": "1"}, 0.5)
    run(tmp_path, {"a": "1"}, 0.6)
    commit(made.folder, made.meta, lambda folder: (folder / "figures.json").write_text('{"methods": {}}') and None)
    new, old = newest(tmp_path, 2)
    assert compare(tmp_path, old, new).figures["mean R2"][0] is None


def test_a_run_is_found_by_what_is_left_of_its_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is logged"):
        find(tmp_path, "last")
    for name in ("20261122-010000-aaaa", "20261122-020000-abcd", "20261123-010000-aaaa"):
        (tmp_path / "runs").mkdir(exist_ok=True)
        (tmp_path / "runs" / f"{name}.jsonl").write_bytes(b"")
    assert names(tmp_path)[0] == "20261123-010000-aaaa"
    assert find(tmp_path, "last").id == "20261123-010000-aaaa"
    assert find(tmp_path, "last-2").id == "20261122-010000-aaaa"
    assert find(tmp_path, "20261122-02").id == "20261122-020000-abcd"
    assert find(tmp_path, "abcd").id == "20261122-020000-abcd"
    assert find(tmp_path, "last").state == "died"
    for text, said in {
        "last-3": "3 runs are logged",
        "20261122": "means 2 runs",
        "aaaa": "means 2 runs",
        "lasst": "last is one",
        "20261122-020000-abce": "20261122-020000-abcd is one",
        "": "there is no run",
        "../x": "there is no run",
    }.items():
        with pytest.raises(UsageError, match=said) as error:
            find(tmp_path, text)
        assert error.value.hint
