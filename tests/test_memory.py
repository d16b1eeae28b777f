from pathlib import Path

import pytest

from sarpipe import memory


def test_what_is_available_is_less_than_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    whole = int(lines["MemTotal"].split()[0]) * 1024
    assert 0 < memory.available_bytes() < whole


def test_a_control_group_and_processes_beside_it_leave_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("9000\n")
    (tmp_path / "memory.current").write_text("5000\n")
    (tmp_path / "memory.stat").write_text("anon 3000\ninactive_file 2000\n")
    assert memory.available_bytes() == 6000
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert memory.available_bytes() == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() > 6000
