"""Cubes as Parquet: a row a place, the cube as a tensor whose shape is in the schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sarpipe.channels import CHANNELS, CUBE_SIZE

TENSOR = pa.fixed_shape_tensor(pa.float32(), [len(CHANNELS), CUBE_SIZE, CUBE_SIZE], dim_names=["channel", "y", "x"])
"""The canonical extension type ``arrow.fixed_shape_tensor``; readers that do not know it see a list of floats."""

ROW_GROUP = 8
"""Places a row group: 1.5 MiB of cubes, what a reader of a single place decodes, and what the writer holds."""


def write_cubes_parquet(path: Path, unit: Path, provenance: Mapping[str, Any]) -> None:
    """Write the cubes of a unit: the columns of its ``index.parquet``, and ``cube``.

    ``cube`` is float32 [12, 64, 64]; where there is no data it is NaN, and never null. The names of the channels are in
    the file's metadata, as JSON under ``sarpipe``. ZSTD, floats split by bytes. A row group is read and written at a
    time. Same unit, provenance and pyarrow, same bytes.

    Args:
        path: The file.
        unit: The folder of a unit.
        provenance: JSON-able without NaN; goes to the file's metadata beside the channels.
    """
    index = pq.read_table(unit / "index.parquet")
    cubes = np.load(unit / "cubes.npy", mmap_mode="r")
    metadata = json.dumps({**provenance, "channels": list(CHANNELS)}, sort_keys=True, allow_nan=False)
    schema = index.schema.append(pa.field("cube", TENSOR, nullable=False)).with_metadata({"sarpipe": metadata})
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        # Cubes do not repeat, so a dictionary only costs; split by bytes, their exponents compress.
        use_dictionary=list(index.column_names),
        use_byte_stream_split=["cube.list.element"],
    ) as writer:
        for start in range(0, len(index), ROW_GROUP):
            rows = index.slice(start, ROW_GROUP).combine_chunks()
            tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(
                np.ascontiguousarray(cubes[start : start + ROW_GROUP]), dim_names=TENSOR.dim_names
            )
            writer.write_table(pa.Table.from_arrays([*rows.columns, tensors], schema=schema), ROW_GROUP)
