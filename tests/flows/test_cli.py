import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sarpipe.flows.cli import main
from sarpipe.runs.record import newest
from sarpipe.simulate import simulate

TINY = ["--set", "train.epochs=1", "--set", "train.batch_size=4", "--set", "device=cpu"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command; its exit code, stdout and stderr."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_simulate_then_run_then_run_again(run: Run, tmp_path: Path, scheduler: str) -> None:
    stores, data = tmp_path / "stores", tmp_path / "data"
    code, out, _ = run("simulate", stores, "--stores", 1, "--places", 4, "--json")
    assert code == 0
    assert [Path(path).is_file() for path in json.loads(out)["stores"]] == [True]
    command = ("run", stores, "--data", data, "--dask", scheduler, *TINY, "--json")
    first_code, first, _ = run(*command)
    again_code, again, said = run(*command)
    assert (first_code, again_code) == (0, 0)
    assert json.loads(first)["places"] == {"in": 4, "quarantined": 0, "embedded": 4}
    assert json.loads(again)["units"] == {"total": 1, "computed": 0, "reused": 1, "refused": 0}
    assert set(json.loads(again)["stages"].values()) == {"reused"}
    assert "1 reused" in said
    last = newest(data, 1)[0]
    assert json.loads(again)["run"]["id"] == last.id
    assert "took:   preprocess " in said
    assert re.search("^energy: (measured|not readable here; estimate) ", said, re.M)
    assert f"sarpipe runs show {last.id}" in said
    for path in json.loads(again)["outputs"].values():
        assert Path(path).exists()


def test_a_dry_run_says_what_is_missing_and_makes_nothing(run: Run, tmp_path: Path) -> None:
    simulate(tmp_path / "stores", stores=2, places=1, zipped=False)
    code, out, _ = run("run", tmp_path / "stores", "--data", tmp_path / "data", "--dry-run", "--json")
    plan = json.loads(out)
    assert (code, plan["status"]) == (0, "planned")
    assert [(step["stage"], step["state"]) for step in plan["plan"]] == [
        ("preprocess", "missing"),
        ("preprocess", "missing"),
        ("train", "waits"),
        ("embed", "waits"),
        ("evaluate", "waits"),
        ("report", "waits"),
    ]
    assert not (tmp_path / "data").exists()


def test_a_refused_store_is_named_and_the_exit_code_is_3(
    run: Run, small_stores: Path, tmp_path: Path, scheduler: str
) -> None:
    shutil.copytree(small_stores, tmp_path / "stores")
    store = next((tmp_path / "stores").glob("*1.zarr.zip"))
    store.write_bytes(store.read_bytes()[:-5000])
    code, out, _ = run("run", tmp_path / "stores", "--data", tmp_path / "data", "--dry-run", "--json")
    assert code == 3
    assert [step["state"] for step in json.loads(out)["plan"]][:2] == ["refused", "missing"]
    code, out, said = run("preprocess", tmp_path / "stores", "--data", tmp_path / "data", "--dask", scheduler, "--json")
    assert code == 3
    summary = json.loads(out)
    assert (summary["units"]["refused"], summary["units"]["computed"]) == (1, 1)
    assert [row["store"] for row in summary["quarantine"]] == ["ssl4eos12_train_seasonal_data_000001"]
    assert [row["code"] for row in summary["quarantine"]] == ["broken-archive"]
    assert "not used: store ssl4eos12_train_seasonal_data_000001 [broken-archive]: " in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "/no/such/folder"], 2, "/no/such/folder does not exist [usage]\n"),
        (["run", "{empty}"], 2, "holds no store"),
        (["run", "{empty}", "--bogus"], 2, "--bogus"),
        (["run"], 2, "SOURCE"),
        (["frobnicate"], 2, "frobnicate"),
        (["evalute"], 2, "Did you mean evaluate?"),
        (["preprocess", "{empty}", "--recipe", "best"], 2, "best"),
        (["preprocess", "{empty}", "--workers", "0"], 2, "--workers"),
        (["train", "--set", "train.epochs=0"], 2, "train.epochs"),
        (["train", "--config", "/no/such.yaml"], 2, "/no/such.yaml"),
        (["train"], 2, "[not-made]\n  Run 'sarpipe preprocess SOURCE'"),
        (["run", "{broken}", "--model", "{empty}"], 2, "there is no model in"),
        (["run", "{broken}", "--labels", "{file}"], 2, "is neither .csv nor .parquet"),
        (["run", "{broken}", "--labels", "/no/such.csv", "--dry-run"], 2, "do not exist"),
        (["preprocess", "{broken}"], 1, "not a whole zip"),
        (["simulate", "{file}"], 1, "file"),
    ],
)
def test_what_is_wrong_is_said_once_without_a_traceback(
    run: Run, tmp_path: Path, scheduler: str, arguments: list[str], code: int, said: str
) -> None:
    for folder in ("empty", "broken"):
        (tmp_path / folder).mkdir()
    (tmp_path / "broken" / "a.zarr.zip").write_bytes(b"PK")
    (tmp_path / "file").write_text("")
    arguments = [
        argument.format(**{name: tmp_path / name for name in ("empty", "broken", "file")}) for argument in arguments
    ]
    extra = ["--data", str(tmp_path / "data")] if arguments[0] in ("preprocess", "run", "train") else []
    found, out, message = run(*arguments, *extra, *(["--dask", scheduler] if "{broken}" in arguments else []))
    assert found == code
    assert out == ""
    assert said in message
    assert "Traceback" not in message


@pytest.mark.parametrize("what", ["/no/such/folder", "--bogus"])
def test_a_failure_is_one_json_object_too(run: Run, what: str) -> None:
    code, out, _ = run("run", "/no/such/folder", *([what] if what.startswith("-") else []), "--json")
    assert code == 2
    assert json.loads(out)["status"] == "failed"
    assert what in json.loads(out)["error"]
    assert json.loads(out)["code"] == "usage"


def test_no_permission_to_write_is_said(run: Run, small_stores: Path, tmp_path: Path, scheduler: str) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    code, _, said = run("preprocess", small_stores, "--data", tmp_path / "file", "--dask", scheduler)
    assert code == 2
    assert "--data" in said
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cubes").write_text("likewise")
    code, _, said = run("preprocess", small_stores, "--data", tmp_path / "data", "--dask", scheduler)
    assert code == 1
    assert "--data" in said
    code, _, said = run("preprocess", small_stores, "--data", "/proc/sarpipe", "--dask", scheduler)
    assert code == 1
    assert "cannot make the folder /proc/sarpipe" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "command",
    [
        [],
        *(
            [name]
            for name in (
                "simulate",
                "preprocess",
                "train",
                "embed",
                "evaluate",
                "report",
                "run",
                "quarantine",
                "quantize",
                "dequantize",
                "search",
            )
        ),
    ],
)
def test_help_has_examples(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sarpipe.flows.cli", *command, "--help"], capture_output=True, text=True, check=True
    )
    assert "examples:\n  sarpipe " in done.stdout


def test_a_prefect_server_that_does_not_answer_is_named(small_stores: Path, tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/api"
    done = subprocess.run(
        [sys.executable, "-m", "sarpipe.flows.cli", "preprocess", small_stores, "--data", tmp_path / "data"],
        capture_output=True,
        text=True,
        env={**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 1
    assert f"the Prefect server at {url} does not answer" in done.stderr
    assert "prefect server start" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_comes_in_a_finaliser_is_not_lost(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(number)

    def simulate_long(*_: Any, **__: Any) -> list[Path]:
        Finalised()
        time.sleep(60)
        return []

    monkeypatch.setattr("sarpipe.simulate.simulate", simulate_long)
    found, _, said = run("simulate", tmp_path)
    assert found == code
    assert "run it again to go on" in said


def test_memory_that_does_not_suffice_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_stores: Path, scheduler: str
) -> None:
    assert run("preprocess", small_stores, "--data", tmp_path, "--dask", scheduler)[0] == 0
    # More than any machine has.
    monkeypatch.setattr("sarpipe.stages.straight.make_model", lambda *_: bytearray(1 << 62))
    code, _, said = run("train", "--data", tmp_path)
    assert code == 1
    assert "memory does not suffice" in said
    assert "memory_gb" in said
    assert "Traceback" not in said


def test_a_training_that_is_stopped_says_how_to_go_on_and_does(
    run: Run, small_stores: Path, tmp_path: Path, scheduler: str
) -> None:
    data = tmp_path / "data"
    assert run("preprocess", small_stores, "--data", data, "--dask", scheduler)[0] == 0
    few = [*TINY, "--set", "train.epochs=30"]
    command = [sys.executable, "-m", "sarpipe.flows.cli", "train", "--data", str(data), *few]
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    training = subprocess.Popen(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    deadline = time.monotonic() + 120
    # Its folder of checkpoints is made with the first; the lock is there before.
    while not list((data / "models").glob(".lock-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(3)
    training.send_signal(signal.SIGTERM)
    out, said = training.communicate(timeout=120)
    assert training.returncode == 143
    assert "terminated" in said
    assert "run it again to go on" in said
    assert "Traceback" not in said
    assert json.loads(out)["status"] == "failed"
    saved = list((data / "models").glob("*.checkpoints/step-*"))
    again, out, _ = run("train", "--data", data, *few, "--json")
    assert again == 0
    # It may have come before the first step.
    assert json.loads(out)["training"]["resumed_from_step"] == (int(saved[0].name.split("-")[1]) if saved else 0)


@pytest.mark.usefixtures("prefect_server")
def test_through_prefect_the_result_is_the_same(run: Run, small_stores: Path, tmp_path: Path, scheduler: str) -> None:
    command: list[Any] = ["preprocess", small_stores, "--dask", scheduler, "--json", "--data"]
    straight = json.loads(run(*command, tmp_path / "straight")[1])
    code, out, said = run(*command, tmp_path / "prefect", "--prefect")
    assert code == 0
    assert json.loads(out)["units"] == straight["units"]
    assert Path(json.loads(out)["outputs"]["cubes"]).name == Path(straight["outputs"]["cubes"]).name
    assert "/runs/flow-run/" in said
