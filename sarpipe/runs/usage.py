"""What computing took on the machine that did it: processor seconds, memory, energy."""

from __future__ import annotations

import resource
import sys
import time
from threading import Event, Thread
from typing import Any, TypedDict

from sarpipe.energy import Energy, Meter, gpu
from sarpipe.errors import SarpipeError

WATTS_A_CORE = 12.0
"""What the Green Algorithms calculator takes for a processor that it does not know (Lannelongue, Grealey and Inouye
2021, doi:10.1002/advs.202100707; TDP_cpu.csv, model "Any"): no measurement."""
ASSUMPTION = (
    f"processor seconds x {WATTS_A_CORE:g} W a core (Green Algorithms, unknown processor); no memory, no idling"
)
_TICK_SECONDS = 30.0
"""The counters of a processor start again from 0 within an hour."""


class Usage(TypedDict):
    """What one unit took on a Dask worker: the peak of memory is of the worker's process, since it was started."""

    worker: str
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


def peak_memory_bytes() -> int:
    """The largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class StageMeter:
    """What a stage takes, from its making to `stop`.

    Args:
        elsewhere: Other machines compute too, whose energy nobody here can read.
    """

    def __init__(self, *, elsewhere: bool) -> None:
        self._elsewhere = elsewhere
        self._meters = [Meter()]
        self._on_gpu = False
        self._cpu = time.process_time()
        self._ended = Event()
        self._ticking = Thread(target=self._tick, name="sarpipe-energy", daemon=True)
        self._ticking.start()

    def watch_gpu(self, device: str) -> None:
        """Measure the GPU that this name stands for too, if it is one; from now on."""
        if self._on_gpu:
            return
        found = _gpu(device)
        if found is not None:
            self._on_gpu = True
            self._meters.append(Meter(found))

    def stop(self, cpu_seconds: float) -> dict[str, Any]:
        """What it took, with so many processor seconds of workers: ``cpu_seconds``, ``peak_memory_bytes``,
        ``energy_joules`` with ``energy_source``, and ``energy_estimate_joules`` where nothing can be read.
        """
        self.close()
        cpu_seconds += time.process_time() - self._cpu
        joules, source = _sum([meter.stop() for meter in self._meters])
        if self._elsewhere:
            joules, source = None, None
        estimated = joules is None and not self._on_gpu
        return {
            "cpu_seconds": round(cpu_seconds, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            "energy_joules": joules,
            "energy_source": source,
            "energy_estimate_joules": round(WATTS_A_CORE * cpu_seconds, 3) if estimated else None,
        }

    def close(self) -> None:
        """End the thread that reads the counters."""
        self._ended.set()
        self._ticking.join()

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            for meter in list(self._meters):
                meter.tick()


def _sum(energies: list[Energy]) -> tuple[float | None, str | None]:
    """Joules of all devices; None where one that has computed cannot be read."""
    cpu, *gpus = energies
    if any(one.joules is None for one in gpus) or (cpu.joules is None and not gpus):
        return None, None
    known = [energy for energy in energies if energy.joules is not None]
    return sum(energy.joules or 0.0 for energy in known), "+".join(str(energy.source) for energy in known)


def _gpu(device: str) -> tuple[str, str] | None:
    """As `sarpipe.energy.gpu`; nothing where there is none of that name: who is about to compute there says so."""
    if device == "cpu":
        # torch takes seconds to import, and is asked only where it is about to be used.
        return None
    try:
        return gpu(device)
    except (SarpipeError, RuntimeError):
        return None
