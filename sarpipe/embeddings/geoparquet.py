"""Embeddings as GeoParquet 1.1: what DuckDB, QGIS and geopandas open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM
from sarpipe.codes import Code
from sarpipe.embeddings.footprint import footprints
from sarpipe.embeddings.order import along_curve
from sarpipe.embeddings.table import FLAGS, LISTS, NUMBERS, TEXTS, Embeddings
from sarpipe.errors import DataError

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_BOX = pa.struct([pa.field(side, pa.float64(), nullable=False) for side in _SIDES])
_VECTOR = pa.list_(pa.float32(), EMBED_DIM)
_TYPES = {
    "id": pa.field("id", pa.string(), nullable=False),
    "geometry": pa.field("geometry", pa.binary()),
    "bbox": pa.field("bbox", _BOX),
    "store": pa.field("store", pa.string()),
    "latitude": pa.field("latitude", pa.float64()),
    "longitude": pa.field("longitude", pa.float64()),
    "crs": pa.field("crs", pa.int64()),
    **{side: pa.field(side, pa.float64()) for side in ("west", "south", "east", "north")},
    "dates": pa.field("dates", pa.list_(pa.timestamp("us", tz="UTC"))),
    "seasons": pa.field("seasons", pa.list_(pa.string())),
    "products": pa.field("products", pa.list_(pa.string())),
    "orbit_passes": pa.field("orbit_passes", pa.list_(pa.string())),
    "relative_orbits": pa.field("relative_orbits", pa.list_(pa.int64())),
    "valid_fraction": pa.field("valid_fraction", pa.float64()),
    "flags": pa.field("flags", pa.list_(pa.string())),
    "embedding": pa.field("embedding", _VECTOR, nullable=False),
}
_INDEX = tuple(name for name in _TYPES if name in (*TEXTS, *NUMBERS, *LISTS, FLAGS))
_ROW_GROUP = 4096
"""16 MiB of vectors: large enough to stream, small enough that a query by place skips most of the file."""


def write_geoparquet(path: Path, embeddings: Embeddings, provenance: Mapping[str, Any]) -> None:
    """Write one row a place: id, footprint, what is known of the place, embedding.

    The footprint (``geometry``, WKB in OGC:CRS84) is that of `sarpipe.embeddings.footprint.footprints`. Rows follow
    the Hilbert curve through the centres; places at an unknown position come last; ties go by id. Same embeddings
    and provenance, same bytes, in whatever order the places are given.

    A footprint across the antimeridian is a MultiPolygon, and its ``bbox`` spans -180 to 180. GeoParquet 1.1 has no
    rule by which a filter on the covering finds such a geometry ("unsupported by this method"); a box that is too
    wide is never missed, one with xmin > xmax always is.

    Args:
        path: The file.
        embeddings: The table.
        provenance: JSON-able without NaN; goes to the file's metadata under ``sarpipe``.
    """
    vectors = {"embedding": pa.FixedSizeListArray.from_arrays(pa.array(embeddings.vectors.ravel()), EMBED_DIM)}
    # Split by bytes, the exponents of the vectors compress.
    write_places(path, embeddings, vectors, {"sarpipe": to_json(provenance)}, split=["embedding.list.element"])


def write_places(
    path: Path,
    embeddings: Embeddings,
    columns: Mapping[str, pa.Array],
    metadata: Mapping[str, str],
    *,
    beside: Mapping[str, str] | None = None,
    split: Sequence[str] = (),
) -> None:
    """Write what is known of the places, as `write_geoparquet` says, and these columns of what stands for them.

    Args:
        path: The file.
        embeddings: The table; its vectors are not written.
        columns: By name, in the order of the table, without nulls.
        metadata: Goes to the file's, with ``geo``.
        beside: Likewise, but not to the Arrow schema, which would hold what is large a second time.
        split: Columns whose numbers are split by bytes.
    """
    places = footprints(embeddings.index)
    order = along_curve(embeddings, places)
    known = {name: field for name, field in _TYPES.items() if name != "embedding"}
    fields = [*known.values(), *(pa.field(name, array.type, nullable=False) for name, array in columns.items())]
    arrays = _columns(embeddings, places) | dict(columns)
    schema = pa.schema(fields, metadata={"geo": _geo(places), **metadata})
    table = pa.table([arrays[field.name] for field in fields], schema=schema).take(pa.array(order))
    with pq.ParquetWriter(
        path,
        table.schema,
        compression="zstd",
        # Vectors do not repeat, so a dictionary only costs.
        use_dictionary=list(known),
        use_byte_stream_split=list(split),
        # A file is copied away from the manifest that has its checksum.
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table, row_group_size=_ROW_GROUP)
        if beside:
            writer.add_key_value_metadata(dict(beside))


def read_geoparquet(path: Path) -> Embeddings:
    """Read what `write_geoparquet` wrote, in the order of the file.

    Unknown numbers of the index come back as NaN, unknown dates as NaT, dates as lists of UTC timestamps.

    Raises:
        DataError: The file cannot be read or lacks a column, or the embeddings are refused (see `Embeddings`).
    """
    table, index = read_places(path, [_TYPES["embedding"]])
    vectors = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Embeddings(tuple(index["id"]), vectors.reshape(-1, EMBED_DIM), index)


def read_provenance(path: Path) -> Any:
    """What a file that `write_geoparquet` wrote says it was made from and by."""
    return json.loads((pq.read_metadata(path).metadata or {}).get(b"sarpipe", b"{}"))


def read_places(path: Path, fields: Sequence[pa.Field]) -> tuple[pa.Table, pd.DataFrame]:
    """These columns of what `write_places` wrote, without nulls, and what is known of the places.

    Raises:
        DataError: The file cannot be read, a page does not match its checksum, it lacks a column or has another type of
            it, or a place has none of what stands for it.
    """
    try:
        _check_schema(path, pq.read_schema(path), fields)
        columns = [*_INDEX, *(field.name for field in fields)]
        table = pq.read_table(path, columns=columns, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read as GeoParquet: {reason}", "Run the embed stage again", code=Code.BAD_TABLE
        ) from error
    for field in fields:
        if table[field.name].null_count:
            raise DataError(
                f"{path}: {table[field.name].null_count} places have no {field.name}",
                "Run the embed stage again",
                code=Code.BAD_TABLE,
            )
    return table, _index(table)


def _columns(embeddings: Embeddings, places: NDArray[np.object_]) -> dict[str, pa.Array]:
    columns = {
        name: pa.array(list(embeddings.index[name]), _TYPES[name].type, from_pandas=True)
        for name in _INDEX
        if name != "dates"
    }
    dates, counts = embeddings.dates(), embeddings.date_counts()
    there = dates[np.arange(dates.shape[1]) < counts[:, None]]
    offsets = np.concatenate([[0], counts.cumsum()]).astype(np.int32)
    columns["dates"] = pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(there, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    )
    # For those who filter by it; who reads the table here has the dates.
    columns["seasons"] = pa.array(embeddings.seasons(), _TYPES["seasons"].type)
    columns["geometry"] = pa.array(shapely.to_wkb(places, byte_order=1, flavor="iso"), pa.binary())
    columns["bbox"] = _boxes(places)
    return columns


def _boxes(places: NDArray[np.object_]) -> pa.Array:
    missing = shapely.is_missing(places)
    sides = np.where(missing[:, None], 0, shapely.bounds(places)).T
    return pa.StructArray.from_arrays(
        [pa.array(np.ascontiguousarray(side)) for side in sides], fields=list(_BOX), mask=pa.array(missing)
    )


def _geo(places: NDArray[np.object_]) -> str:
    there = places[~shapely.is_missing(places)]
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted({place.geom_type for place in there}),
        "orientation": "counterclockwise",
        "edges": "planar",
        "covering": {"bbox": {side: ["bbox", side] for side in _SIDES}},
    }
    if len(there):
        column["bbox"] = [float(side) for side in shapely.total_bounds(there)]
    # No "crs": the default, OGC:CRS84, is what is meant.
    return to_json({"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}})


def to_json(value: Mapping[str, Any]) -> str:
    """As it stands in a file's metadata: the same value, the same text; NaN is refused."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _check_schema(path: Path, schema: pa.Schema, fields: Sequence[pa.Field]) -> None:
    for field in (*(_TYPES[name] for name in _INDEX), *fields):
        if field.name not in schema.names:
            raise DataError(
                f"{path} has no column {field.name}", "Give a file that the embed stage wrote", code=Code.BAD_TABLE
            )
        found = schema.field(field.name).type
        if found != field.type:
            raise DataError(
                f"{path}: column {field.name} is {found}, needs {field.type}",
                "Run the embed stage again",
                code=Code.BAD_TABLE,
            )


def _index(table: pa.Table) -> pd.DataFrame:
    columns = {name: table[name].to_pylist() if name in (*LISTS, FLAGS) else table[name].to_pandas() for name in _INDEX}
    columns["dates"] = [
        [pd.NaT if date is None else pd.Timestamp(date) for date in row] for row in table["dates"].to_pylist()
    ]
    return pd.DataFrame(columns)
