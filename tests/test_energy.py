from __future__ import annotations

from pathlib import Path

import pytest

from sarpipe.energy import Energy, Meter


def package(powercap: Path, number: int, microjoules: int, name: str = "package") -> Path:
    folder = powercap / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}-{number}\n")
    (folder / "max_energy_range_uj").write_text("10000000\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    return folder / "energy_uj"


def test_joules_of_all_packages_are_counted_over_their_end(tmp_path: Path) -> None:
    first, second = package(tmp_path, 0, 1_000_000), package(tmp_path, 1, 9_000_000)
    system = package(tmp_path, 2, 0, name="psys")
    meter = Meter(powercap=tmp_path)
    first.write_text("3000000\n")
    second.write_text("1000000\n")
    meter.tick()
    first.write_text("3500000\n")
    system.write_text("9000000\n")
    energy = meter.stop()
    assert energy.joules == pytest.approx(2 + 2 + 0.5)
    assert (energy.device_type, energy.source) == ("cpu", "rapl")


def test_where_energy_cannot_be_read_it_is_not_said(tmp_path: Path) -> None:
    counter = package(tmp_path / "gone", 0, 5)
    meters = [Meter(powercap=tmp_path / "none"), Meter(powercap=tmp_path / "gone")]
    counter.unlink()
    meters.append(Meter(powercap=tmp_path / "gone"))
    for meter in meters:
        energy = meter.stop()
        assert (energy.joules, energy.source) == (None, None)
        assert energy.seconds > 0
        said = energy.document(10)
        assert said["energy_kwh"] is None
        assert said["energy_source"] is None
        assert not {"energy_kwh", "avg_power_w"} & said["emb:energy"].keys()


def test_the_document_has_the_units_of_the_extension() -> None:
    said = Energy("gpu", "NVIDIA T4", 4.0, 7200.0, "nvml").document(100)
    assert said["emb:energy"] == {
        "device_type": "gpu",
        "name": "NVIDIA T4",
        "inference_duration_s": 4.0,
        "energy_kwh": pytest.approx(0.002),
        "avg_power_w": 1800.0,
    }
    assert (said["places"], said["places_per_second"], said["energy_kwh"]) == (100, 25.0, pytest.approx(0.002))


def test_a_gpu_that_is_not_there_has_no_energy() -> None:
    assert Meter(gpu=("GPU-00000000-0000-0000-0000-000000000000", "none")).stop().joules is None
