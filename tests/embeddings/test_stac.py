from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pystac
import pytest
from pystac.validation import validate_dict

from sarpipe.embeddings import Embeddings, Origin, export, write_stac

EXTENSION = "https://stac-extensions.github.io/embeddings/v0.0.1/schema.json"


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.fixture
def undated(embeddings: Embeddings) -> Embeddings:
    index = embeddings.index.copy()
    index["dates"] = [[pd.NaT] * 4] * len(index)
    return replace(embeddings, index=index)


def test_pystac_reads_the_catalogue_and_finds_every_file_from_it(
    tmp_path: Path, embeddings: Embeddings, origin: Origin
) -> None:
    export(tmp_path, embeddings, origin)
    collection = pystac.Collection.from_file(tmp_path / "collection.json")
    (item,) = collection.get_items()
    assert item.get_collection() is collection
    assert item.get_root() is collection
    hrefs = {name: asset.get_absolute_href() for name, asset in item.assets.items()}
    assert hrefs["embeddings"] == str(tmp_path / "embeddings.parquet")
    assert all(Path(href).exists() for href in hrefs.values())
    assert set(hrefs) == set(collection.to_dict()["item_assets"])


@pytest.mark.parametrize("known", [True, False])
def test_it_is_valid_by_the_schemas_that_pystac_ships(
    tmp_path: Path, embeddings: Embeddings, make_embeddings: Callable[..., Embeddings], origin: Origin, known: bool
) -> None:
    """Those of STAC 1.1, to which pystac migrates what it reads; schemas of extensions would need the network."""
    write_stac(tmp_path, embeddings if known else make_embeddings([("nowhere", np.nan, np.nan, 0)]), origin)
    collection = pystac.Collection.from_file(tmp_path / "collection.json")
    for thing in (collection, *collection.get_items()):
        assert validate_dict(thing.to_dict(), extensions=[])


def test_it_says_what_the_extension_asks(tmp_path: Path, embeddings: Embeddings, origin: Origin) -> None:
    """The rules of geo-embeddings/embeddings-stac-specification v0.0.1, as we read them."""
    write_stac(tmp_path, embeddings, origin)
    collection, item = document(tmp_path / "collection.json"), document(tmp_path / "item.json")
    assert collection["stac_version"] == item["stac_version"] == "1.0.0"
    assert EXTENSION in collection["stac_extensions"]
    assert EXTENSION in item["stac_extensions"]
    assert collection["emb:type"] == "chip"
    assert collection["emb:dimensions"] == 1024
    assert collection["data_type"] == "float32"
    assert collection["emb:chip_layout"] == {"layout_type": "variable_grid", "chip_size": [264, 264]}
    links = {link["rel"]: link["href"] for link in collection["links"]}
    assert links["emb:model"] == origin.model_href
    assert links["emb:source-data"] == origin.cubes_href
    assert "embeddings" in item["assets"]
    assert item["properties"]["emb:preprocessing"]["expression"] == origin.provenance["recipe"]


def test_extents_are_those_of_the_places(tmp_path: Path, embeddings: Embeddings, origin: Origin) -> None:
    write_stac(tmp_path, embeddings, origin)
    item = pystac.Item.from_file(tmp_path / "item.json")
    extent = pystac.Collection.from_file(tmp_path / "collection.json").extent
    assert item.bbox == pytest.approx([11.58, -33.91, 151.21, 48.11], abs=0.02)
    assert item.geometry is not None
    assert item.geometry["type"] == "Polygon"
    assert extent.spatial.bboxes == [item.bbox]
    assert item.properties["start_datetime"] == "2020-01-02T03:04:05.678901Z"
    assert item.properties["end_datetime"] == "2020-07-01T00:00:00.000000Z"
    assert item.datetime is None
    ((start, end),) = extent.temporal.intervals
    assert start is not None
    assert end is not None
    assert (start.year, end.month) == (2020, 7)


def test_one_point_and_an_unknown_position_are_said_as_such(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings], origin: Origin
) -> None:
    write_stac(tmp_path, make_embeddings([("rome", 12.5, 41.9, 0)]), origin)
    assert document(tmp_path / "item.json")["geometry"] == {"type": "Point", "coordinates": [12.5, 41.9]}
    write_stac(tmp_path, make_embeddings([("nowhere", np.nan, np.nan, 0)]), origin)
    item = document(tmp_path / "item.json")
    assert item["geometry"] is None
    assert "bbox" not in item
    assert document(tmp_path / "collection.json")["extent"]["spatial"]["bbox"] == [[-180, -90, 180, 90]]


def test_without_any_date_the_files_are_the_collections(tmp_path: Path, undated: Embeddings, origin: Origin) -> None:
    export(tmp_path, undated, origin)
    assert not (tmp_path / "item.json").exists()
    collection = pystac.Collection.from_file(tmp_path / "collection.json")
    assert list(collection.get_items()) == []
    assert all(Path(str(asset.get_absolute_href())).exists() for asset in collection.assets.values())
    assert document(tmp_path / "collection.json")["extent"]["temporal"]["interval"] == [[None, None]]


def test_extents_across_the_antimeridian_are_short(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings], origin: Origin
) -> None:
    fiji = [("west", 178.0, -17.0, 32760), ("on", 180.0, -17.0, 32760), ("east", -179.0, -16.0, 32701)]
    write_stac(tmp_path, make_embeddings(fiji), origin)
    item = document(tmp_path / "item.json")
    assert item["bbox"] == pytest.approx([178, -17, -179, -16], abs=0.03)
    assert item["geometry"]["type"] == "MultiPolygon"
    assert document(tmp_path / "collection.json")["extent"]["spatial"]["bbox"] == [item["bbox"]]
    assert validate_dict(pystac.Item.from_file(tmp_path / "item.json").to_dict(), extensions=[])
