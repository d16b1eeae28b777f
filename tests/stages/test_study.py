import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sarpipe.codes import Code
from sarpipe.errors import TrainingError, UsageError
from sarpipe.evaluate.claims import LABELS
from sarpipe.simulate import simulate
from sarpipe.stages import straight
from sarpipe.stages.chain import find_cubes
from sarpipe.stages.study import make_study, plan_study
from sarpipe.storage.lock import unused
from sarpipe.study.choices import Choice, named


class Stopped(Exception):
    """Somebody has broken the study off."""


def test_a_study_trains_each_choice_for_each_seed_and_goes_on_where_it_stopped(rerun: Any) -> None:
    settings = rerun.settings()
    cube_set = find_cubes(settings, None)
    choices = named(["speckle", "readout"], settings.train)
    said: list[str] = []

    def stop_at_the_fifth(done: int, total: int, note: str) -> None:
        if done == 4:
            raise Stopped

    with pytest.raises(Stopped):
        make_study(settings, cube_set, choices, 2, stop_at_the_fifth)
    with unused(settings.data):
        pass
    # The default's first seed is the model of the run itself.
    plan = plan_study(settings, cube_set, choices, 2)
    assert [step.state for step in plan] == ["done"] * 4 + ["missing"] * 4
    assert [step.name for step in plan][1:3] == ["default, seed 1", "speckle, seed 0"]
    trained = {path: path.stat().st_mtime_ns for path in (rerun.data / "models").rglob("*.safetensors")}

    def on_training(done: int, total: int, note: str) -> None:
        said.append(note)
        # gc takes this lock, and does not get it as long as the study is one.
        with pytest.raises(BlockingIOError), unused(settings.data):
            pass

    folder, study = make_study(settings, cube_set, choices, 2, on_training)

    assert all(path.stat().st_mtime_ns == time for path, time in trained.items())
    assert said[0] == "default, seed 0"
    assert said[-1] == "done"
    assert not any(note.startswith("speckle, seed 0: step") for note in said)
    assert any(note.startswith("readout, seed 1: step") for note in said)
    assert study["seeds"] == 2
    assert [row["choice"] for row in study["choices"]] == ["speckle", "readout", "as_written"]
    for row in study["choices"]:
        for name, measure in row["measures"].items():
            default = study["default"]["measures"][name]
            assert measure["default_minus_this"]["value"] == pytest.approx(default["value"] - measure["value"])
            assert len(measure["seeds"]) == 2
            assert sum(measure["seeds"]) / 2 == pytest.approx(measure["value"])
    assert {m["default_minus_this"]["verdict"] for row in study["choices"] for m in row["measures"].values()} == {
        "too few places"
    }
    page = (folder / "study.md").read_text()
    assert "measured on 10 (the same as learnt from)" in page
    assert "nothing is decided" in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert "**" not in "".join(table[3:])
    assert table[3].startswith("| speckle | no speckle |")
    assert table[5].startswith("| as_written | the original's own training")
    assert len(table) == 6 + len(study["baselines"])
    assert {row["baseline"] for row in study["baselines"]} == set(LABELS.values()) - {LABELS["sarpipe"]}
    assert json.loads((folder / "study.json").read_text()) == study

    assert make_study(settings, cube_set, choices, 2, _nothing) == (folder, study)
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "study.json", "study.md"}


def test_places_that_are_held_out_are_not_learnt_from(rerun: Any, tmp_path: Path) -> None:
    settings = rerun.settings()
    cube_set = find_cubes(settings, None)
    simulate(tmp_path / "other", stores=1, places=8, seed=1)
    elsewhere = settings.model_copy(update={"data": tmp_path / "elsewhere"})
    straight.preprocess(elsewhere, str(tmp_path / "other"), lambda *_: None)
    with pytest.raises(UsageError, match="all 10 places that are held out are within 50 km"):
        make_study(settings, cube_set, (), 1, _nothing, cube_set)

    _, here = make_study(settings, cube_set, (), 1, _nothing)
    _, there = make_study(settings, cube_set, (), 1, _nothing, find_cubes(elsewhere, None))

    plan = plan_study(settings, cube_set, (), 1, find_cubes(elsewhere, None))
    assert [step.name for step in plan] == ["default, seed 0", "as_written, seed 0", "supervised, seed 0"]
    assert {step.state for step in plan} == {"done"}
    # Another default has another encoder that learns the truth; the original's own training is the same.
    other = settings.model_copy(update={"train": settings.train.model_copy(update={"temperature": 0.3})})
    plan = plan_study(other, cube_set, (), 1, find_cubes(elsewhere, None))
    assert [step.state for step in plan] == ["missing", "done", "missing"]
    # But not where other algorithms may be taken, as on a GPU these give other bits.
    free = settings.train.model_copy(update={"deterministic": not settings.train.deterministic})
    other = settings.model_copy(update={"train": free})
    plan = plan_study(other, cube_set, (), 1, find_cubes(elsewhere, None))
    assert [step.state for step in plan] == ["missing"] * 3
    # And it is another number of places that another distance leaves.
    plan = plan_study(settings, cube_set, (), 1, find_cubes(elsewhere, None), 5)
    assert [step.state for step in plan] == ["done", "missing", "missing"]
    assert [row["choice"] for row in there["choices"]] == ["as_written", "supervised"]
    for row in there["choices"]:
        assert row["measures"].keys() == there["default"]["measures"].keys()
    assert [row["choice"] for row in here["choices"]] == ["as_written"]
    assert not here["places"]["held_out"]
    assert here["places"]["apart_km"] is None
    assert there["places"]["held_out"]
    assert there["places"]["apart_km"] == 50
    assert there["places"]["blocks"] >= 1
    assert here["train"] == there["train"]
    assert here["default"]["measures"] != there["default"]["measures"]


def test_a_choice_whose_training_fails_is_a_row_that_says_so(rerun: Any) -> None:
    settings = rerun.settings()
    cube_set = find_cubes(settings, None)
    near = Choice("neighbours", "all places are neighbours", {"neighbour_km": 20_000.0})
    folder, study = make_study(settings, cube_set, [near], 1, _nothing)

    row, _ = study["choices"]
    assert "neighbour" in row["stopped"]
    assert row["stopped"] in (folder / "study.md").read_text()


def no_memory() -> None:
    raise MemoryError


def asked_to_stop() -> None:
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("happen", "code"), [(no_memory, Code.MEMORY), (asked_to_stop, Code.INTERRUPTED)], ids=["memory", "signal"]
)
def test_what_may_pass_ends_the_study_and_is_no_row_of_it(rerun: Any, happen: Callable[[], None], code: Code) -> None:
    settings = rerun.settings()

    def on_training(done: int, total: int, note: str) -> None:
        if note.startswith("speckle, seed 0: step"):
            happen()

    # As in a program that has a handler of its own, which goes on: the training stops all the same.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with pytest.raises(TrainingError) as caught:
            make_study(settings, find_cubes(settings, None), named(["speckle"], settings.train), 1, on_training)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == code
    assert not list(rerun.data.glob("reports/study-*"))


def _nothing(done: int, total: int, note: str) -> None: ...
