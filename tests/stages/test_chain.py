import shutil
from pathlib import Path
from typing import Any

import pytest

from sarpipe.errors import UsageError
from sarpipe.stages import straight
from sarpipe.stages.chain import plan


def states(rerun: Any, **overrides: Any) -> list[str]:
    return [step.state for step in plan(rerun.settings(**overrides), "run", str(rerun.stores))]


def test_a_plan_says_what_is_done_and_changes_nothing(rerun: Any) -> None:
    before = rerun.files()
    assert states(rerun) == ["done"] * 6
    assert rerun.files() == before


def test_what_depends_on_a_missing_step_waits_for_it(rerun: Any) -> None:
    assert states(rerun, train__seed=4) == ["done", "done", "missing", "waits", "waits", "waits"]
    (unit,) = rerun.data.glob("cubes/sar-*/ssl4eos12*_000002-*")
    shutil.rmtree(unit)
    assert states(rerun) == ["done", "missing", "waits", "waits", "waits", "waits"]


def test_a_damaged_artefact_is_named_with_its_file(rerun: Any) -> None:
    (page,) = rerun.data.glob("reports/sar-*/report.html")
    page.write_text(page.read_text() + "x")
    last = plan(rerun.settings(), "run", str(rerun.stores))[-1]
    assert last.state == "damaged"
    assert str(page) in last.why


def test_a_model_that_is_given_takes_the_place_of_training(rerun: Any, tmp_path: Path) -> None:
    (model,) = rerun.data.glob("models/sar-*")
    elsewhere = shutil.copytree(model, tmp_path / model.name)
    shutil.rmtree(model)
    steps = plan(rerun.settings(model=str(elsewhere)), "run", str(rerun.stores))
    # Its bytes are those of the model that was trained, so all that it made is there.
    assert [(step.stage, step.state) for step in steps[2:]] == [
        ("embed", "done"),
        ("evaluate", "done"),
        ("report", "done"),
    ]
    with pytest.raises(UsageError, match="there is no model"):
        plan(rerun.settings(model=str(tmp_path / "none")), "embed", None)
    (embeddings,) = rerun.data.glob("embeddings/sar-*")
    with pytest.raises(UsageError, match="is no model but of stage embed"):
        plan(rerun.settings(model=str(embeddings)), "embed", None)


def test_labels_are_in_the_key_of_an_evaluation_by_their_content(rerun: Any, tmp_path: Path) -> None:
    def key() -> str:
        (step,) = plan(rerun.settings(labels=str(labels)), "evaluate", None)
        return str(step.key)

    labels = tmp_path / "labels.csv"
    labels.write_text("id,x\na,1\n")
    first = key()
    assert first == key()
    labels.write_text("id,x\na,2\n")
    assert key() != first
    (without,) = plan(rerun.settings(), "evaluate", None)
    assert without.state == "done"
    assert without.key not in (first, key())


def test_a_run_that_begins_at_a_stage_takes_what_is_before_it_as_it_is(rerun: Any) -> None:
    (page,) = rerun.data.glob("reports/sar-*")
    shutil.rmtree(page)
    steps = plan(rerun.settings(), "run", str(rerun.stores), first="evaluate")
    assert [(step.stage, step.state) for step in steps] == [("evaluate", "done"), ("report", "missing")]
    before = rerun.files()
    results = straight.run(rerun.settings(), None, lambda *_: None, first="evaluate")
    assert [(stage, result["computed"]) for stage, result in results.items()] == [("evaluate", False), ("report", True)]
    assert before.items() <= rerun.files().items()
    assert (page / "report.html").is_file()
    forced = plan(rerun.settings(), "run", None, first="embed", force=True)
    assert [(step.stage, step.state) for step in forced] == [
        ("embed", "forced"),
        ("evaluate", "waits"),
        ("report", "waits"),
    ]


def test_a_run_that_begins_at_a_stage_makes_nothing_of_what_is_before_it(rerun: Any, tmp_path: Path) -> None:
    (model,) = rerun.data.glob("models/sar-*")
    shutil.rmtree(model)
    before = rerun.files()
    with pytest.raises(UsageError, match="train sar is not done: not made yet") as refused:
        straight.run(rerun.settings(), str(rerun.stores), lambda *_: None, first="evaluate")
    assert refused.value.hint == "Run 'sarpipe train' first, with the same --data and settings"
    (unit,) = rerun.data.glob("cubes/sar-*/ssl4eos12*_000002-*")
    shutil.rmtree(unit)
    with pytest.raises(
        UsageError, match="1 of 2 stores, ssl4eos12_train_seasonal_data_000002: not made yet"
    ) as refused:
        straight.run(rerun.settings(), str(rerun.stores), lambda *_: None, first="train")
    command = f"sarpipe preprocess {rerun.stores} --data {rerun.data}"
    assert refused.value.hint == f"Run {command!r} first, with the same --recipe and settings"
    with pytest.raises(UsageError, match="no SOURCE is given"):
        plan(rerun.settings(), "run", None)
    assert rerun.files().keys() <= before.keys()
