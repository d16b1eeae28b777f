from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sarpipe.runs.log import note_failure, note_try, stage_log
from sarpipe.settings import resolve
from sarpipe.stages.step import Step


def samples(path: Path) -> dict[tuple[str, ...], float]:
    """Name, stage, state and code to value, as Prometheus's own parser reads them."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.documentation
        assert family.type in ("counter", "gauge")
        for sample in family.samples:
            assert sample.name.endswith("_total") is (family.type == "counter")
            key = (sample.name, *(sample.labels[name] for name in ("stage", "state", "code") if name in sample.labels))
            assert key not in found
            assert {"command", "recipe", "preset", "data"} <= sample.labels.keys()
            found[key] = sample.value
    return found


def test_counters_go_on_and_gauges_tell_of_the_last_run(twice: Path) -> None:
    found = samples(twice / "runs" / "preprocess-sar-sar.prom")
    assert found["sarpipe_runs_total", "completed"] == 2
    for state, count in {"computed": 2, "reused": 2, "refused": 1}.items():
        assert found["sarpipe_units_total", "preprocess", state] == count
    assert found["sarpipe_refused_total", "preprocess", "broken-archive"] == 1
    assert found["sarpipe_stage_quarantine_entries", "preprocess", "broken-archive"] == 1
    assert found["sarpipe_stage_refused", "preprocess"] == 1
    assert found["sarpipe_places_total", "preprocess"] == 10
    assert found["sarpipe_stage_places", "preprocess"] == 10
    assert found["sarpipe_run_success",] == 1
    assert ("sarpipe_stage_places_per_second", "preprocess") not in found
    assert 0 < found["sarpipe_stage_seconds", "preprocess"] <= found["sarpipe_run_seconds",]
    assert ("sarpipe_stage_energy_estimate_joules", "preprocess") in found


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a} 1", "ä"])
def test_any_folder_has_a_name_that_prometheus_reads(tmp_path: Path, name: str) -> None:
    settings = resolve(data=tmp_path / name)
    settings.data.mkdir()
    for _ in range(2):
        with stage_log(settings, "preprocess", "stores"):
            note_try("one")
            note_failure(Step("preprocess", "one", None, "", "missing", "", {}), OSError("the disk"))
    path = settings.data / "runs" / "preprocess-sar-sar.prom"
    labels: set[Any] = {
        sample.labels["data"]
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }
    assert labels == {str(settings.data)}
    assert samples(path)["sarpipe_units_total", "preprocess", "failed"] == 2


def test_a_file_that_is_damaged_begins_anew(tmp_path: Path) -> None:
    settings = resolve(data=tmp_path)
    path = tmp_path / "runs" / "preprocess-sar-sar.prom"
    path.parent.mkdir()
    path.write_bytes(b'sarpipe_runs_total{x="\xff"} one\nsarpipe_runs_total{')
    with stage_log(settings, "preprocess", "stores"):
        pass
    assert samples(path)["sarpipe_runs_total", "completed"] == 1
