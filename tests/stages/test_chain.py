import shutil
from typing import Any

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
