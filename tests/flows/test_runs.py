from __future__ import annotations

import json
from pathlib import Path

import pytest

from sarpipe.flows.cli import main
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
