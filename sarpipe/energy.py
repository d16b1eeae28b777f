"""What computing took: time, and energy where the machine says it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")

_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Counter:
    """A counter of joules; it starts again from 0 at ``range``."""

    read: Callable[[], float]
    range: float


@dataclass(frozen=True)
class Energy:
    """What a device took.

    Attributes:
        device_type: ``cpu`` or ``gpu``.
        name: Of the device; None where it is not known.
        seconds: By the clock.
        joules: Of the whole device, whatever else ran on it; None where it cannot be read.
        source: ``rapl``, ``nvml`` or None.
    """

    device_type: str
    name: str | None
    seconds: float
    joules: float | None
    source: str | None

    def document(self, places: int) -> dict[str, Any]:
        """JSON-able: places, places a second, source, and the object ``emb:energy`` of STAC's Embedding extension,
        which has only what is known (the extension has no null). ``energy_kwh`` beside it is null if it is not known.
        """
        kwh = None if self.joules is None else self.joules / _JOULES_PER_KWH
        energy: dict[str, Any] = {"device_type": self.device_type, "inference_duration_s": self.seconds}
        if self.name:
            energy["name"] = self.name
        if self.joules is not None:
            energy |= {"energy_kwh": kwh, "avg_power_w": self.joules / self.seconds}
        return {
            "places": places,
            "places_per_second": places / self.seconds,
            "energy_kwh": kwh,
            "energy_source": self.source,
            "emb:energy": energy,
        }


class Meter:
    """Measures from its making to `stop`.

    Args:
        gpu: The UUID of the GPU that computes (``GPU-...``), and its name; None: the processor does.
        powercap: Where Linux shows the counters of the processor.
    """

    def __init__(self, gpu: tuple[str, str] | None = None, powercap: Path = POWERCAP) -> None:
        self._gpu = gpu
        self._source = "nvml" if gpu else "rapl"
        self._counters = _nvml(gpu[0]) if gpu else _rapl(powercap)
        self._joules: float | None = 0.0 if self._counters else None
        self._last = [counter.read() for counter in self._counters]
        self._started = time.perf_counter()

    def tick(self) -> None:
        """Read the counters. To be called at least once a minute: those of a processor start again from 0."""
        if self._joules is None:
            return
        try:
            now = [counter.read() for counter in self._counters]
        except OSError:
            self._joules = None
            return
        for counter, before, after in zip(self._counters, self._last, now, strict=True):
            self._joules += after - before + (counter.range if after < before else 0.0)
        self._last = now

    def stop(self) -> Energy:
        """What was taken so far."""
        seconds = time.perf_counter() - self._started
        self.tick()
        kind, name = ("gpu", self._gpu[1]) if self._gpu else ("cpu", _processor())
        return Energy(kind, name, seconds, self._joules, self._source if self._joules is not None else None)


def gpu(device: str) -> tuple[str, str] | None:
    """UUID and name of the GPU that a name of a device stands for, for `Meter`; None: it is the processor."""
    import torch

    from sarpipe.model.device import pick_device

    where = pick_device(device)
    if where.type == "cpu":
        return None
    properties = torch.cuda.get_device_properties(where)
    return f"GPU-{properties.uuid}", properties.name


def _rapl(powercap: Path) -> list[Counter]:
    """The counters of all processor packages (Running Average Power Limit); none if one cannot be read: most systems
    show them to root alone.
    """
    counters = []
    try:
        for folder in sorted(powercap.glob("intel-rapl:*")):
            if (folder / "name").read_text().startswith("package"):
                counters.append(_rapl_counter(folder))
                counters[-1].read()
    except (OSError, ValueError):
        return []
    return counters


def _rapl_counter(folder: Path) -> Counter:
    def read() -> float:
        return int((folder / "energy_uj").read_text()) / 1e6

    return Counter(read, int((folder / "max_energy_range_uj").read_text()) / 1e6)


def _nvml(uuid: str) -> list[Counter]:
    """The counter of a GPU (NVIDIA Management Library, Volta and newer); none where there is no such library."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()

    def read() -> float:
        if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)):
            raise OSError("NVML does not give the energy")
        return millijoules.value / 1e3

    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(device)):
        return []
    try:
        read()
    except OSError:
        return []
    return [Counter(read, 0.0)]


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)
