from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.codes import Code
from sarpipe.errors import DataError, UsageError
from sarpipe.runs.log import measured, note_failure, note_try, run_log, stage_log
from sarpipe.runs.record import Record, names, newest, read
from sarpipe.runs.usage import WATTS_A_CORE, StageMeter
from sarpipe.settings import Settings, resolve
from sarpipe.stages.step import Step
from sarpipe.storage import inspect, mount

NOTING = """
import os, resource, signal, sys
from pathlib import Path
from sarpipe.runs.log import note_failure, note_try, stage_log
from sarpipe.settings import resolve
from sarpipe.stages.step import Step

data, count, most = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
settings = resolve(data=data)
if most:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
with stage_log(settings, "preprocess", "stores"):
    for number in range(count):
        step = Step("preprocess", f"store{number}", None, "", "missing", "", {})
        note_try(step.name)
        note_failure(step, OSError("the disk"))
    print("noted", flush=True)
    sys.stdin.readline()
"""
"""A run that notes units, says so, and waits to be told to end."""


def noting(data: Path, count: int, most: int = 0) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    data.mkdir(exist_ok=True)
    process = subprocess.Popen([sys.executable, "-c", NOTING, str(data), str(count), str(most)], text=True, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "noted\n"
    return process


def step(name: str, **meta: Any) -> Step:
    return Step("preprocess", name, None, "", "missing", "", meta)


def test_a_unit_is_a_line_that_tells_what_it_took(twice: Path, small_stores: Path) -> None:
    first = newest(twice, 2)[1]
    stores = {path.name.removesuffix(".zarr.zip"): path for path in small_stores.glob("*.zarr.zip")}
    assert [unit["state"] for unit in first.units] == ["computed", "computed"]
    for unit in first.units:
        (folder,) = twice.glob(f"cubes/sar-*/{unit['name']}-*")
        assert unit["read_bytes"] == stores.pop(unit["name"]).stat().st_size
        assert unit["written_bytes"] == sum((folder / name).stat().st_size for name in inspect(folder).files)
        assert unit["run"] == first.id
        assert (unit["tries"], unit["stage"]) == (1, "preprocess")
        assert unit["worker"].startswith("tcp://")
        assert unit["cpu_seconds"] > 0
        assert unit["queue_seconds"] >= 0
        assert unit["peak_memory_bytes"] > 10_000_000
    assert not stores
    (stage,) = first.stages
    assert stage["places"] + stage["quarantined"] == sum(u["places"] + u["quarantined"] for u in first.units) == 10
    assert stage["places_per_second"] == pytest.approx(10 / stage["seconds"], rel=0.01)
    assert stage["written_bytes"] > sum(unit["written_bytes"] for unit in first.units)
    assert inspect(twice / stage["folder"]).digest == stage["digest"]


def test_what_is_reused_or_refused_is_said(twice: Path) -> None:
    second = newest(twice, 1)[0]
    assert sorted(unit["state"] for unit in second.units) == ["refused", "reused", "reused"]
    (refused,) = (unit for unit in second.units if unit["state"] == "refused")
    assert "000003" in refused["name"]
    assert "000003" in refused["reason"]
    assert refused["error_code"] == "broken-archive"
    (stage,) = second.stages
    assert stage["units"] == {"refused": 1, "reused": 2}
    assert (stage["places_per_second"], stage["read_bytes"]) == (None, 0)
    assert (second.state, second.places) == ("completed", 10)


def test_the_logs_of_many_runs_are_one_table(twice: Path) -> None:
    rows = duckdb.sql(
        f"select event, state, count(*), sum(written_bytes) from '{twice}/runs/*.parquet' group by all"
    ).fetchall()
    units = [unit for record in newest(twice, 2) for unit in record.units]
    written = sum(unit["written_bytes"] for unit in units)
    assert {(event, state): count for event, state, count, _ in rows} == {
        ("unit", "computed"): 2,
        ("unit", "reused"): 2,
        ("unit", "refused"): 1,
        # The second has another set, of a store more.
        ("stage", "computed"): 2,
    }
    assert sum(row[3] for row in rows if row[0] == "unit") == written


def test_a_run_that_is_killed_leaves_what_it_had_noted(tmp_path: Path) -> None:
    process = noting(tmp_path, 50)
    (alive,) = newest(tmp_path, 9)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (dead,) = newest(tmp_path, 9)
    assert (alive.state, dead.state) == ("running", "died")
    assert len(alive.units) == len(dead.units) == 50
    assert dead.header["source"] == "stores"


def test_a_full_disk_ends_the_log_and_not_the_run(tmp_path: Path) -> None:
    process = noting(tmp_path, 50, most=8192)
    _, said = process.communicate("\n")
    assert process.returncode == 0, said
    assert said.count("the log of this run cannot be written") == 1
    (record,) = newest(tmp_path, 9)
    assert record.state == "died"
    assert 0 < len(record.units) < 50


def test_runs_side_by_side_do_not_mix(tmp_path: Path) -> None:
    settings = resolve(data=tmp_path)
    met = threading.Barrier(4)

    def run(name: str) -> None:
        with stage_log(settings, "preprocess", name):
            met.wait()
            for number in range(20):
                note_failure(step(f"{name}{number}"), OSError("the disk"))

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = newest(tmp_path, 9)
    assert sorted(str(record.header["source"]) for record in records) == ["a", "b", "c", "d"]
    for record in records:
        assert [unit["name"] for unit in record.units] == [f"{record.header['source']}{n}" for n in range(20)]


def test_a_retry_is_counted_and_its_last_end_is_the_units(tmp_path: Path) -> None:
    with stage_log(resolve(data=tmp_path), "preprocess", "stores"):
        for error in (OSError("the disk"), DataError("it is empty", code=Code.LAYOUT)):
            note_try("one")
            note_failure(step("one", inputs={"store": "f" * 64}), error)
    (record,) = newest(tmp_path, 1)
    assert [(unit["state"], unit["tries"]) for unit in record.units] == [("failed", 1), ("refused", 2)]
    assert record.last_units()["one"]["reason"] == "it is empty"
    assert [unit["error_code"] for unit in record.units] == ["io", "layout"]
    assert record.stages[0]["refused"] == {"layout": 1}
    assert (record.stages[0]["units"], record.stages[0]["retries"]) == ({"refused": 1}, 1)


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [(UsageError("no such source", "Give one"), "failed", "usage"), (ValueError("a defect"), "failed", "defect"),
     (KeyboardInterrupt(), "interrupted", "interrupted")],
)  # fmt: skip
def test_a_run_that_fails_says_why(tmp_path: Path, error: BaseException, state: str, code: str) -> None:
    with (
        pytest.raises(type(error)),
        run_log(resolve(data=tmp_path), "run", "x"),
        stage_log(resolve(data=tmp_path), "a"),
    ):
        raise error
    (record,) = newest(tmp_path, 1)
    assert record.state == state
    assert record.end is not None
    assert (record.end["error_code"], record.document()["error_code"], record.stages[0]["error_code"]) == (
        code,
        code,
        code,
    )
    assert (str(error) or "by Ctrl-C") in record.end["reason"]
    assert [stage["state"] for stage in record.stages] == ["failed"]


def test_a_wrong_path_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError), run_log(resolve(data=tmp_path / "data"), "run", "x"):
        raise UsageError("no such source")
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "runs").write_text("in the way")
    with stage_log(resolve(data=tmp_path), "preprocess", "stores"):
        for number in range(3):
            note_failure(step(str(number)), OSError("the disk"))
    assert len(caplog.records) == 1
    assert "runs" in caplog.text


@given(
    cut=st.integers(0, 10_000),
    junk=st.sampled_from([b"", b"\n", b"\xff\x00", b"[" * 100_000, b"3\n", b'{"event":"unit"}\n', b'{"event":[]}\n']),
)
def test_a_log_is_read_wherever_it_was_cut_off(cut: int, junk: bytes, whole: bytes) -> None:
    units = Record.of("one", whole).units
    found = Record.of("one", whole[:cut] + junk).units
    complete = sum(b'"event":"unit"' in line for line in whole[:cut].split(b"\n")[:-1])
    assert len(units) == 9
    assert complete <= len(found) <= complete + 1
    assert units[: len(found)] == found


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a log."""
    data = tmp_path_factory.mktemp("whole")
    with stage_log(resolve(data=data), "preprocess", "stores"):
        for number in range(9):
            note_failure(step(str(number)), OSError("the disk"))
    (log,) = (data / "runs").glob("*.jsonl")
    return log.read_bytes()


def test_what_killed_runs_left_half_written_goes_with_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".tmp-x.parquet-1-01234567").write_bytes(b"half")
    with run_log(resolve(data=tmp_path), "run", "stores"):
        pass
    assert [path.suffix for path in sorted((tmp_path / "runs").glob("[!.]*"))] == [".jsonl", ".parquet", ".prom"]
    assert not list((tmp_path / "runs").glob(".tmp*"))


def test_output_at_a_url_has_the_log_when_the_run_has_ended(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARPIPE_CACHE", str(tmp_path / "here"))
    settings = resolve(data=f"{bucket}/output")
    settings.data.mkdir(parents=True)
    with stage_log(settings, "preprocess", "stores"):
        note_failure(step("one"), OSError("the disk"))
        assert [record.state for record in newest(settings.data, 9)] == ["running"]
        monkeypatch.setenv("SARPIPE_CACHE", str(tmp_path / "elsewhere"))
        elsewhere = mount(f"{bucket}/output")
        assert names(elsewhere) == []
    (name,) = names(elsewhere)
    assert (read(elsewhere, name).state, len(read(elsewhere, name).units)) == ("completed", 1)


def test_no_energy_is_given_for_machines_that_cannot_be_read() -> None:
    meter = StageMeter(elsewhere=True)
    took = meter.stop(100.0)
    assert (took["energy_joules"], took["energy_source"]) == (None, None)
    assert took["energy_estimate_joules"] == pytest.approx(WATTS_A_CORE * took["cpu_seconds"], abs=0.1)
    assert took["cpu_seconds"] >= 100


def test_a_device_that_is_not_there_costs_no_log(tmp_path: Path) -> None:
    settings = resolve(data=tmp_path, overrides={"device": "cuda"})
    written: list[Path] = []
    with stage_log(settings, "train"):
        measured("sar", written.append)(tmp_path)
    assert written == [tmp_path]
    assert newest(tmp_path, 1)[0].state == "completed"


def test_where_no_run_is_logged_nothing_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note_try("one")
    monkeypatch.setenv("RANK", "1")
    with stage_log(Settings(data=tmp_path), "train"):
        note_try("one")
    assert os.listdir(tmp_path) == []


def test_a_line_is_json_with_the_time_in_utc(whole: bytes) -> None:
    for line in whole.splitlines():
        found = json.loads(line)
        assert found["time"].endswith("Z")
        assert {"run", "event"} <= found.keys()
