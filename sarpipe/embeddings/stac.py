"""Embeddings as a static STAC catalogue: a collection and an item beside the files that they describe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM, PIXEL_SPACING_M, PLACE_SIZE
from sarpipe.embeddings.footprint import footprints
from sarpipe.embeddings.origin import Origin
from sarpipe.embeddings.table import Embeddings

COLLECTION, ITEM = "collection.json", "item.json"

_VERSION = "1.0.0"
"""The extension's schema refers to that of STAC 1.0.0, which refuses any other version."""
_EMBEDDING = "https://stac-extensions.github.io/embeddings/v0.0.1/schema.json"
_ITEM_ASSETS = "https://stac-extensions.github.io/item-assets/v1.0.0/schema.json"
_PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"

_ASSETS: Mapping[str, Mapping[str, Any]] = {
    "embeddings": {
        "href": "./embeddings.parquet",
        "type": "application/vnd.apache.parquet",
        "title": "GeoParquet 1.1: a row a place, with footprint, dates and products",
        "roles": ["data"],
    },
    "zarr": {
        "href": "./embeddings.zarr",
        "type": "application/vnd.zarr; version=3",
        "title": "Zarr v3 group",
        "roles": ["data"],
    },
    "csv": {"href": "./embeddings.csv", "type": "text/csv", "title": "NeuCo-Bench CSV", "roles": ["data"]},
    "csv_standardised": {
        "href": "./embeddings_standardised.csv",
        "type": "text/csv",
        "title": "NeuCo-Bench CSV, each dimension with mean 0 and deviation 1",
        "roles": ["data"],
    },
}
_WORLD = [-180.0, -90.0, 180.0, 90.0]


def write_stac(folder: Path, embeddings: Embeddings, origin: Origin) -> None:
    """Write ``collection.json`` and ``item.json``: STAC 1.0.0 with the Embedding extension 0.0.1.

    All links are relative, and none is to itself, so that the folder can be moved; those to the model and to the
    cubes (``emb:model``, ``emb:source-data``) hold as long as it stays in its ``--data`` folder. No clock is read:
    same embeddings and origin, same bytes.

    The geometry of the item is the box of all known footprints; null where none is known, and then the collection's
    extent is the whole Earth. The item's time runs from the first known date to the last. Without any known date no
    valid item can be written: there is none, and its assets are the collection's.

    Args:
        folder: Where the files of the embeddings are.
        embeddings: The table.
        origin: What they were made from.
    """
    box = _box(footprints(embeddings.index))
    time = _time(embeddings)
    collection = _collection(len(embeddings.ids), origin, _WORLD if box is None else _bounds(box), time)
    if time is None:
        collection["assets"] = _ASSETS
    else:
        collection["links"].append({"rel": "item", "href": f"./{ITEM}", "type": "application/geo+json"})
        _write(folder / ITEM, _item(len(embeddings.ids), origin, box, time))
    _write(folder / COLLECTION, collection)


def _collection(places: int, origin: Origin, bounds: list[float], time: tuple[str, str] | None) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": _VERSION,
        "stac_extensions": [_EMBEDDING, _ITEM_ASSETS],
        "id": f"sarpipe-{origin.name}",
        "title": f"sarpipe embeddings {origin.name}",
        "description": f"{EMBED_DIM}-D embeddings of {places} places of Sentinel-1 backscatter, one vector a place of "
        f"{PLACE_SIZE} x {PLACE_SIZE} pixels over up to four dates. Terms of use: those of the source data.",
        "license": "other",
        "extent": {"spatial": {"bbox": [bounds]}, "temporal": {"interval": [list(time or (None, None))]}},
        "emb:type": "chip",
        "emb:dimensions": EMBED_DIM,
        "data_type": "float32",
        "gsd": PIXEL_SPACING_M,
        "emb:chip_layout": {"layout_type": "variable_grid", "chip_size": [PLACE_SIZE, PLACE_SIZE]},
        "emb:fit_for_use": ["classification", "regression", "retrieval"],
        "item_assets": {
            name: {key: value for key, value in asset.items() if key != "href"} for name, asset in _ASSETS.items()
        },
        "links": [
            {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"},
            {
                "rel": "emb:model",
                "href": origin.model_href,
                "type": "application/json",
                "title": f"Encoder, SHA-256 {origin.model}",
            },
            _source(origin),
        ],
    }


def _item(places: int, origin: Origin, box: shapely.Geometry | None, time: tuple[str, str]) -> dict[str, Any]:
    where = {} if box is None else {"bbox": _bounds(box)}
    collection = {"href": f"./{COLLECTION}", "type": "application/json"}
    return {
        "type": "Feature",
        "stac_version": _VERSION,
        "stac_extensions": [_EMBEDDING, _PROCESSING],
        "id": origin.name,
        "collection": f"sarpipe-{origin.name}",
        "geometry": None if box is None else json.loads(shapely.to_geojson(box)),
        **where,
        "properties": {
            "title": f"Embeddings of {places} places",
            "datetime": None,
            "start_datetime": time[0],
            "end_datetime": time[1],
            "emb:preprocessing": {"format": "sarpipe-recipe", "expression": origin.provenance["recipe"]},
            "processing:software": dict(origin.provenance["versions"]),
        },
        "links": [{"rel": rel, **collection} for rel in ("root", "parent", "collection")] + [_source(origin)],
        "assets": _ASSETS,
    }


def _source(origin: Origin) -> dict[str, str]:
    return {
        "rel": "emb:source-data",
        "href": origin.cubes_href,
        "title": f"Cubes, SHA-256 {origin.cubes}; store and products of each place are columns of the embeddings",
    }


def _box(places: NDArray[np.object_]) -> shapely.Geometry | None:
    """The envelope of all known footprints: a polygon, or a point where that is all that is known. Where the shorter
    way round leads across the antimeridian, two polygons that end there (RFC 7946, section 3.1.9).
    """
    there = places[~shapely.is_missing(places)]
    if not len(there):
        return None
    west, south, east, north = shapely.total_bounds(there)
    bounds = shapely.bounds(shapely.get_parts(there))
    eastern = bounds[:, 0] >= 0
    if east - west > 180 and (~eastern).any():
        start, end = bounds[eastern, 0].min(), bounds[~eastern, 2].max()
        if end + 360 - start < 180:
            return shapely.MultiPolygon([shapely.box(start, south, 180, north), shapely.box(-180, south, end, north)])
    if west == east or south == north:
        return shapely.envelope(shapely.MultiPoint([(west, south), (east, north)]))
    return shapely.box(west, south, east, north)


def _bounds(box: shapely.Geometry) -> list[float]:
    """West, south, east, north; west > east across the antimeridian (RFC 7946, section 5.2)."""
    west, south, east, north = box.bounds
    if box.geom_type == "MultiPolygon":
        eastern, western = box.geoms
        west, east = eastern.bounds[0], western.bounds[2]
    return [west, south, east, north]


def _time(embeddings: Embeddings) -> tuple[str, str] | None:
    dates = embeddings.dates()
    known = dates[~np.isnat(dates)]
    return (f"{known.min()}Z", f"{known.max()}Z") if len(known) else None


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
