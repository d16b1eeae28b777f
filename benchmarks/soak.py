"""A thousand units in one process: memory, open files and threads must stay flat.

Examples:
    python benchmarks/soak.py
    python benchmarks/soak.py --units 5000 --json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from machine import described

from sarpipe.settings import resolve
from sarpipe.simulate import simulate
from sarpipe.stages.preprocess import make_store, plan_preprocess


def main() -> int:
    """Run, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--places", type=int, default=4, help="of a store (default: 4)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sarpipe-soak-"))
    try:
        rows = _run(folder, options.units, options.places)
    finally:
        shutil.rmtree(folder)
    if options.json:
        print(json.dumps({"machine": described(), "rows": rows}, indent=1))
    else:
        print(f"{described()}\n{'units':>6} {'RSS, MB':>8} {'files':>6} {'threads':>8} {'s':>7}")
        for row in rows:
            print(f"{row['units']:6} {row['rss_mb']:8.1f} {row['files']:6} {row['threads']:8} {row['seconds']:7.1f}")
    warm, end = rows[1], rows[-1]
    flat = end["rss_mb"] < warm["rss_mb"] + 20 and all(end[what] <= warm[what] for what in ("files", "threads"))
    if not flat:
        print("not flat since the tenth unit", file=sys.stderr)
    return 0 if flat else 1


def _run(folder: Path, units: int, places: int) -> list[dict[str, float]]:
    (first,) = simulate(folder / "stores", stores=1, places=places, seed=0, progress=lambda done, total: None)
    settings = resolve(data=folder / "data")
    rows = []
    start = time.monotonic()
    for i in range(1, units + 1):
        store = first.with_name(f"store_{i:06d}.zarr.zip")
        shutil.copy(first, store)
        (step,) = plan_preprocess(settings, store)
        make_store(step, settings)
        store.unlink()
        if i in (1, 10) or i % (units // 5) == 0:
            rows.append({"units": i, **_held(), "seconds": time.monotonic() - start})
    return rows


def _held() -> dict[str, float]:
    """What the process holds: resident memory, open files, threads (of the system, not Python's alone)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "rss_mb": int(status["VmRSS"].split()[0]) / 1000,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": max(int(status["Threads"]), threading.active_count()),
    }


if __name__ == "__main__":
    sys.exit(main())
