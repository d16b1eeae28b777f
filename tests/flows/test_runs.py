from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sarpipe.flows.cli import main
from sarpipe.flows.runs import _compared
from sarpipe.runs.compare import Comparison
from sarpipe.runs.log import run_log, stage_log
from sarpipe.settings import resolve


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Output of two runs, the second of which has failed."""
    with run_log(resolve(data=tmp_path), "run", "stores"), stage_log(resolve(data=tmp_path), "preprocess"):
        pass
    settings = resolve(data=tmp_path, overrides={"train.epochs": 7})
    with pytest.raises(OSError, match="disk"), stage_log(settings, "train"):
        raise OSError("the disk")
    return tmp_path


def test_runs_are_listed_shown_and_compared(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> tuple[int, str, str]:
        code = main(["runs", *arguments, "--data", str(data)])
        return code, *capsys.readouterr()

    code, out, err = said()
    assert (code, out) == (0, "")
    assert [len(err.splitlines()), err.count("completed"), err.count("failed: OSError: the disk")] == [3, 1, 1]
    code, out, _ = said("--json")
    (train,) = (run for run in json.loads(out)["runs"] if run["command"] == "train")
    assert (train["state"], train["stages"]) == ("failed", {"train": "failed"})
    code, out, err = said("show", train["run"][-4:])
    assert (code, out) == (0, "")
    assert "energy" in err
    code, out, _ = said("show", train["run"], "--json")
    assert json.loads(out)["settings"]["train"]["epochs"] == 7
    code, out, err = said("compare", "last-1", "last")
    assert (code, out) == (0, "")
    assert "setting train.epochs: 200 -> 7" in err
    code, out, _ = said("compare", "last-1", "last", "--json")
    assert json.loads(out)["settings"]["train.epochs"] == [200, 7]
    code, out, err = said("compare", "last", train["run"])
    assert (code, "both are the run" in err) == (2, True)
    code, out, err = said("show", "lasst")
    assert (code, "last is one" in err) == (2, True)
    assert main(["runs", "--data", str(data), "-n", "1", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 1


def test_who_stops_reading_is_no_defect(data: Path) -> None:
    # More than a pipe holds.
    for number in range(400):
        (data / "runs" / f"20260101-000000{number:03d}-aaaa.jsonl").write_text("")
    command = f"{sys.executable} -m sarpipe.flows.cli runs -n 500 --json --data {data}"
    script = f"{command} | head -c 10; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout == '{"status":141\n'
    assert done.stderr == ""


def test_an_artefact_that_one_run_alone_has_is_not_called_different() -> None:
    fields = dict.fromkeys(("state", "seconds", "places_per_second", "energy_joules"), ("reused", None))
    digests = {"report": ("a", None), "train": ("a", "a"), "embed": ("a", "b")}
    found = Comparison(
        settings={},
        versions={},
        inputs={"added": [], "removed": [], "changed": [], "same": 0, "of stages": {}},
        stages=dict.fromkeys(digests, fields),
        figures={},
        artefacts={stage: {"same": one == other, "digests": (one, other)} for stage, (one, other) in digests.items()},
    )
    assert [line.rsplit("  ", 1)[1] for line in _compared(found)[2:]] == ["of one run alone", "same bytes", "differs"]
