from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sarpipe.runs.cost import Cost
from sarpipe.runs.log import run_cost, run_log, stage_log
from sarpipe.runs.record import newest
from sarpipe.settings import resolve


def stage(name: str, joules: float | None, estimate: float | None) -> dict[str, Any]:
    source = None if joules is None else "rapl"
    energy = {"energy_joules": joules, "energy_source": source, "energy_estimate_joules": estimate}
    return {"stage": name, "state": "computed", "seconds": 1234.5, **energy}


def test_what_was_measured_and_what_is_estimated_are_two_sums() -> None:
    stages = [
        stage("preprocess", None, 36.0),
        stage("train", 7200.0, None),
        stage("embed", 1800.0, None),
        stage("evaluate", None, None),
    ]
    cost = Cost("20261121-020001207-5f1c", "/srv/data of mine", stages)
    assert cost.document() == {"id": cost.run, "energy_joules": 9000.0, "energy_estimate_joules": 36.0}
    took, energy, more = cost.lines()
    assert took.startswith("took:   preprocess 1,234.5 s, train 1,234.5 s, ")
    assert energy.startswith("energy: measured 2.5 Wh; not readable here; estimate 0.01 Wh: processor seconds x 12 W")
    assert energy.endswith("; not known of 1 stages")
    assert more == "'sarpipe runs show 20261121-020001207-5f1c --data '/srv/data of mine'' has more"


def test_the_table_labels_every_figure() -> None:
    rows = Cost("id", "data", [stage("preprocess", None, 36.0), stage("train", 7200.0, None)]).markdown().splitlines()
    assert rows[2:4] == [
        "| preprocess | computed | 1,234.5 | about 0.01 Wh (estimate) |",
        "| train | computed | 1,234.5 | 2 Wh (rapl) |",
    ]
    assert rows[-1].endswith("More: `sarpipe runs show id --data data`")


def test_of_a_run_without_stages_nothing_is_said() -> None:
    cost = Cost("id", "data", [])
    assert (cost.lines(), cost.markdown()) == ([], "")
    assert cost.document() == {"id": "id", "energy_joules": None, "energy_estimate_joules": None}


def test_it_is_that_of_the_run_under_way_and_then_of_the_last_one(tmp_path: Path) -> None:
    settings = resolve(data=tmp_path)

    def stages() -> list[str]:
        cost = run_cost()
        return [] if cost is None else [one["stage"] for one in cost.stages]

    with run_log(settings, "run", "stores"):
        assert stages() == []
        with stage_log(settings, "embed"):
            pass
        assert stages() == ["embed"]
        with pytest.raises(OSError, match="disk"), stage_log(settings, "evaluate"):
            raise OSError("the disk")
    assert stages() == ["embed", "evaluate"]
    cost, (record,) = run_cost(), newest(tmp_path, 1)
    assert cost is not None
    assert (cost.run, list(cost.stages)) == (record.id, list(record.stages))
