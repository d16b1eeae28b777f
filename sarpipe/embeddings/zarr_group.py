"""Embeddings as a Zarr v3 group: what xarray opens."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from sarpipe import __version__
from sarpipe.channels import EMBED_DIM, N_DATES, PIXEL_SPACING_M, PLACE_SIZE
from sarpipe.embeddings.footprint import footprints
from sarpipe.embeddings.order import along_curve
from sarpipe.embeddings.origin import Origin
from sarpipe.embeddings.table import FLAGS, LISTS, NUMBERS, Embeddings

_CHUNK = 1024
"""Places in a chunk: 4 MiB of vectors."""

_FILL = {"dates": int(np.iinfo(np.int64).min)}
"""What a missing chunk reads as, where it is neither NaN, 0 (unknown) nor empty text: NaT."""

_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
    "crs": {"long_name": "EPSG code of the bounds, 0 unknown"},
    **{side: {"units": "m", "long_name": f"{side} bound in crs"} for side in ("west", "south", "east", "north")},
    # As CF says time; the smallest integer is NaT.
    "dates": {"units": "microseconds since 1970-01-01", "calendar": "proleptic_gregorian"},
}

_CONVENTION = {
    "schema_url": "https://raw.githubusercontent.com/geo-embeddings/embeddings-zarr-convention/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/geo-embeddings/embeddings-zarr-convention/blob/v1/README.md",
    "uuid": "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
    "name": "geoemb:",
    "description": "Geoembeddings convention for geospatial embedding arrays with model provenance",
}
"""How a group says that it follows the convention; the convention's schema takes these texts and no others."""


def write_zarr(path: Path, embeddings: Embeddings, origin: Origin) -> None:
    """Write a group: ``embedding (place, dimension)`` float32, and the index as coordinates, along the Hilbert curve.

    Coordinates with one value a place: ``id, store, latitude, longitude, crs, west, south, east, north,
    valid_fraction``, and ``flags`` with a space between them; with one a date ``(place, date)``: ``dates, products,
    orbit_passes, relative_orbits``, where a date that is not there is NaT, 0 or empty text. Metadata is consolidated.
    A chunk that goes missing reads as unknown (NaN, NaT, 0 for crs and orbit, empty text), and each is checksummed.
    Same embeddings and origin, same bytes, in whatever order the places are given.

    The attributes follow the Zarr convention for embeddings (geo-embeddings/embeddings-zarr-convention, v1): type
    ``chip``, dimensions, data type, layout, model and source. It wants a URI for the last two, which have no address
    of their own: they are named by their SHA-256.

    Args:
        path: The folder; it must not exist.
        embeddings: The table.
        origin: Its provenance becomes the attribute ``sarpipe`` of the group.
    """
    rows = along_curve(embeddings, footprints(embeddings.index))
    index = embeddings.index.iloc[rows].reset_index(drop=True)
    embeddings = replace(embeddings, ids=tuple(index["id"]), vectors=embeddings.vectors[rows], index=index)
    arrays = _coordinates(embeddings)
    attributes = {
        "coordinates": " ".join(sorted(arrays)),
        "sarpipe": dict(origin.provenance),
        **_convention(origin),
    }
    group = zarr.create_group(path, zarr_format=3, attributes=attributes)
    _write(group, "embedding", embeddings.vectors, "dimension")
    for name, values in arrays.items():
        _write(group, name, values, "date")
    with warnings.catch_warnings():
        # Zarr v3 does not specify it yet; xarray reads it, and whoever does not know it opens the group without.
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        zarr.consolidate_metadata(group.store)
    _sort_metadata(path / "zarr.json")


def _convention(origin: Origin) -> dict[str, Any]:
    return {
        "zarr_conventions": [_CONVENTION],
        "geoemb:type": "chip",
        "geoemb:dimensions": EMBED_DIM,
        "geoemb:model": f"urn:sarpipe:model:{origin.model}",
        "geoemb:source_data": [f"urn:sarpipe:cubes:{origin.cubes}"],
        "geoemb:data_type": "float32",
        "geoemb:gsd": PIXEL_SPACING_M,
        "geoemb:chip_layout": {"layout_type": "irregular", "chip_size": [PLACE_SIZE, PLACE_SIZE]},
        "geoemb:build_version": __version__,
    }


def _coordinates(embeddings: Embeddings) -> dict[str, NDArray[Any]]:
    index = embeddings.index
    arrays: dict[str, NDArray[Any]] = {name: _texts(index[name]) for name in ("id", "store")}
    arrays |= {name: index[name].to_numpy(np.int64 if name == "crs" else np.float64) for name in NUMBERS}
    arrays["flags"] = _texts(" ".join(row) for row in index[FLAGS])
    dates = embeddings.dates()
    arrays["dates"] = dates.astype(np.int64)
    orbits = [_padded(row, 0) for row in index["relative_orbits"]]
    arrays["relative_orbits"] = np.array(orbits, np.int64).reshape(dates.shape)
    for name in set(LISTS) - arrays.keys():
        arrays[name] = _texts([_padded(row, "") for row in index[name]]).reshape(dates.shape)
    return dict(sorted(arrays.items()))


def _padded(row: Sequence[Any], nothing: Any) -> list[Any]:
    return [*row, *[nothing] * (N_DATES - len(row))]


def _texts(values: Any) -> NDArray[Any]:
    return np.array(list(values), dtype=np.dtypes.StringDType())


def _write(group: zarr.Group, name: str, values: NDArray[Any], second: str) -> None:
    text = values.dtype.kind == "T"
    array = group.create_array(
        name,
        shape=values.shape,
        dtype="string" if text else values.dtype,
        chunks=(max(1, min(_CHUNK, len(values))), *values.shape[1:]),
        compressors=ZstdCodec(level=3, checksum=True),
        fill_value=_FILL.get(name, np.nan if values.dtype.kind == "f" else "" if text else 0),
        attributes=_ATTRIBUTES.get(name, {}),
        dimension_names=("place", second)[: values.ndim],
    )
    array[...] = values


def _sort_metadata(path: Path) -> None:
    """Write the group's metadata with its keys in order: zarr lists the arrays as the file system does."""
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2, sort_keys=True) + "\n", encoding="utf-8")
