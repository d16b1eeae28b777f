import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sarpipe.flows.cli import main
from sarpipe.ssl4eo import find_stores, read_store

NAMES = [f"ssl4eos12_val_seasonal_data_{number:06d}.zarr.zip" for number in range(1, 4)]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process; its exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def start(*arguments: object, file_bytes: int = resource.RLIM_INFINITY) -> subprocess.Popen[str]:
    """Start a real ``sarpipe download``; the kernel refuses it longer files than ``file_bytes``."""

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        # A shell that starts the tests in the background makes them, and so their children, deaf to Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "-m", "sarpipe.flows.cli", "download", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def wait_for(path: Path, size: int, process: subprocess.Popen[str]) -> Path:
    """The one part below ``path``, once it has so many bytes."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        for part in path.rglob("*.part"):
            if part.stat().st_size == size:
                return part
        time.sleep(0.01)
    raise AssertionError(f"no part of {size} bytes; {process.communicate(timeout=5)}")


def test_what_was_downloaded_is_what_the_pipeline_takes(run: Run, hub: Any, small_stores: Path, tmp_path: Path) -> None:
    hub.add(*NAMES[:2])
    for name, store in zip(NAMES, sorted(small_stores.glob("*.zarr.zip")), strict=False):
        hub.commits[hub.branch][f"val/S1GRD/{name}"] = store.read_bytes()
    raw = tmp_path / "raw"
    code, _, said = run("download", raw)
    assert code == 0
    assert f"Next: sarpipe run {raw}/val/S1GRD" in said
    assert "CC-BY-4.0" in said
    stores = find_stores(raw / "val" / "S1GRD")
    assert [store.name for store in stores] == NAMES[:2]
    for store in stores:
        assert len(read_store(store).ids) == 5
    assert run("run", raw / "val" / "S1GRD", "--data", tmp_path / "data", "--dry-run")[0] == 0


def test_a_dry_run_says_what_would_come_and_writes_nothing(run: Run, hub: Any, tmp_path: Path) -> None:
    hub.add(*NAMES, size=1000)
    raw = tmp_path / "raw"
    code, out, said = run("download", raw, "--first", 2, "--dry-run", "--json")
    plan = json.loads(out)
    assert (code, plan["status"], plan["commit"], plan["bytes_to_fetch"]) == (0, "planned", hub.branch, 2000)
    assert [Path(file["path"]).name for file in plan["files"]] == NAMES[:2]
    assert "2 to fetch (2.0 kB)" in said
    assert (raw.exists(), hub.links) == (False, [])


def test_a_split_list_and_json(run: Run, hub: Any, tmp_path: Path) -> None:
    hub.add(*NAMES, size=1000)
    (tmp_path / "list.txt").write_text(f"{NAMES[2]}\n{NAMES[0]}\n")
    run("download", tmp_path, "--stores", NAMES[0])
    code, out, _ = run("download", tmp_path, "--stores", tmp_path / "list.txt", "--json")
    done = json.loads(out)
    assert (code, done["kept"], done["fetched"], done["bytes_received"]) == (0, 1, 1, 1000)
    assert [(Path(file["path"]).name, file["was"]) for file in done["files"]] == [
        (NAMES[2], "missing"),
        (NAMES[0], "there"),
    ]


def test_exit_codes(run: Run, hub: Any, faults: Any, tmp_path: Path) -> None:
    hub.add(*NAMES, size=1000)
    code, _, said = run("download", tmp_path, "--stores", NAMES[0].replace("000001", "000009"))
    assert (code, "is not in val/S1GRD" in said) == (2, True)
    code, _, said = run("download", tmp_path, "--revision", "v9")
    assert (code, "no revision 'v9'" in said) == (2, True)
    hub.faults[NAMES[0]] = [faults.wrong] * 4
    code, out, _ = run("download", tmp_path, "--stores", NAMES[0], "--json")
    assert (code, json.loads(out)["status"]) == (1, "failed")
    code, out, said = run("download", tmp_path, "--json")
    assert (code, [row["file"] for row in json.loads(out)["failed"]]) == (3, [f"val/S1GRD/{NAMES[0]}"])
    assert f"not fetched: val/S1GRD/{NAMES[0]} came wrong twice" in said


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_what_is_stopped_in_mid_file_goes_on(
    hub: Any, faults: Any, tmp_path: Path, stop: signal.Signals, code: int
) -> None:
    contents = hub.add(*NAMES, size=3_000_000)
    hub.faults[NAMES[1]] = [faults.hang(2_000_000)]
    process = start(tmp_path, "--jobs", 1)
    part = wait_for(tmp_path, 2_000_000, process)
    began = time.monotonic()
    process.send_signal(stop)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert time.monotonic() - began < 10
    assert part.read_bytes() == contents[1][:2_000_000]
    again = start(tmp_path, "--json")
    out, said = again.communicate(timeout=60)
    assert again.returncode == 0, said
    done = json.loads(out)
    assert (done["kept"], done["fetched"], done["bytes_received"]) == (1, 2, 4_000_000)
    assert [(tmp_path / "val" / "S1GRD" / name).read_bytes() for name in NAMES] == contents
    assert hub.sent(NAMES[0]) == [(None, 3_000_000)]
    assert hub.sent(NAMES[1]) == [(None, 2_000_000), ("bytes=2000000-", 1_000_000)]
    assert list(tmp_path.rglob("*.part")) == []


def test_a_file_that_cannot_grow_is_told_and_goes_on_later(hub: Any, tmp_path: Path) -> None:
    (content,) = hub.add(NAMES[0], size=3_000_000)
    # The kernel's own refusal in mid-write, as on a full disk.
    process = start(tmp_path, file_bytes=1_000_000)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "cannot write" in said, "Traceback" in said) == (1, True, False), said
    (part,) = tmp_path.rglob("*.part")
    assert part.read_bytes() == content[:1_000_000]
    again = start(tmp_path)
    assert (again.communicate(timeout=60)[0], again.returncode) == ("", 0)
    assert (tmp_path / "val" / "S1GRD" / NAMES[0]).read_bytes() == content
    assert hub.sent(NAMES[0])[1][0] == "bytes=1000000-"


def test_two_commands_at_once_do_no_harm(hub: Any, tmp_path: Path) -> None:
    contents = hub.add(*NAMES, size=3_000_000)
    both = [start(tmp_path) for _ in range(2)]
    assert [process.communicate(timeout=60) and process.returncode for process in both] == [0, 0]
    assert [(tmp_path / "val" / "S1GRD" / name).read_bytes() for name in NAMES] == contents
    assert sum(asked.sent for asked in hub.content) == sum(map(len, contents))
