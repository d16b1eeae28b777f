"""The log of a run as a table: Parquet, a row a unit and a row a stage."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sarpipe.runs.record import Record
from sarpipe.storage import write_small

SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("time", pa.timestamp("ms", tz="UTC")),
        ("event", pa.string()),
        ("stage", pa.string()),
        ("name", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("error_code", pa.string()),
        ("places", pa.int64()),
        ("quarantined", pa.int64()),
        ("seconds", pa.float64()),
        ("places_per_second", pa.float64()),
        ("busy_seconds", pa.float64()),
        ("queue_seconds", pa.float64()),
        ("cpu_seconds", pa.float64()),
        ("tries", pa.int64()),
        ("retries", pa.int64()),
        ("read_bytes", pa.int64()),
        ("written_bytes", pa.int64()),
        ("worker", pa.string()),
        ("peak_memory_bytes", pa.int64()),
        ("energy_joules", pa.float64()),
        ("energy_source", pa.string()),
        ("energy_estimate_joules", pa.float64()),
        ("digest", pa.string()),
    ]
)
"""Of every table, so that those of many runs read as one. Null is what is not known, or has no meaning there."""


def write_table(path: Path, record: Record) -> None:
    """Write the units and stages of a run; the metadata ``sarpipe`` is the rest of its log, as JSON."""
    rows = [_row(line) for line in (*record.units, *record.stages)]
    about = json.dumps({"started": record.header, "ended": record.end})
    table = pa.Table.from_pylist(rows, SCHEMA.with_metadata({"sarpipe": about}))
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    write_small(path, file.getvalue())


def _row(line: Any) -> dict[str, Any]:
    row = {name: line.get(name) for name in SCHEMA.names}
    return row | {"time": datetime.fromisoformat(line["time"])}
