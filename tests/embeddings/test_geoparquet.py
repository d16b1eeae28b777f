from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sarpipe.embeddings import Embeddings, read_geoparquet, write_geoparquet
from sarpipe.errors import DataError

PROVENANCE = {"model": "abc", "settings": {"seed": 1}}


@pytest.fixture
def path(tmp_path: Path, embeddings: Embeddings) -> Path:
    write_geoparquet(tmp_path / "e.parquet", embeddings, PROVENANCE)
    return tmp_path / "e.parquet"


def test_what_is_written_is_read_again(path: Path, embeddings: Embeddings) -> None:
    read = read_geoparquet(path)
    assert sorted(read.ids) == sorted(embeddings.ids)
    order = [read.ids.index(place) for place in embeddings.ids]
    np.testing.assert_array_equal(read.vectors[order], embeddings.vectors)
    np.testing.assert_array_equal(read.dates()[order], embeddings.dates())
    index = read.index.iloc[order].reset_index(drop=True)
    plain = [name for name in embeddings.index.columns if name != "dates"]
    pd.testing.assert_frame_equal(index[plain], embeddings.index[plain], check_dtype=False)


def test_places_of_fewer_dates_are_read_again_with_so_many(tmp_path: Path, fewer_dates_embeddings: Embeddings) -> None:
    table = fewer_dates_embeddings
    write_geoparquet(tmp_path / "e.parquet", table, PROVENANCE)
    read = read_geoparquet(tmp_path / "e.parquet")
    order = [read.ids.index(place) for place in table.ids]
    np.testing.assert_array_equal(read.dates()[order], table.dates())
    np.testing.assert_array_equal(read.date_counts()[order], [1, 2, 3, 4])
    for name in ("products", "orbit_passes", "relative_orbits", "flags"):
        assert read.index[name].iloc[order].tolist() == table.index[name].tolist()


def test_the_seasons_of_the_dates_stand_beside_them_and_are_not_needed_to_read(
    path: Path, tmp_path: Path, embeddings: Embeddings, fewer_dates_embeddings: Embeddings
) -> None:
    table = pq.read_table(path)
    assert set(map(tuple, table["seasons"].to_pylist())) == {("DJF", None, None, "JJA")}
    pq.write_table(table.drop_columns(["seasons"]), tmp_path / "older.parquet")
    assert read_geoparquet(tmp_path / "older.parquet").ids == read_geoparquet(path).ids
    write_geoparquet(tmp_path / "fewer.parquet", fewer_dates_embeddings, PROVENANCE)
    fewer = pq.read_table(tmp_path / "fewer.parquet", columns=["dates", "seasons"])
    assert sorted(map(len, fewer["seasons"].to_pylist())) == [1, 2, 3, 4]
    for dates, seasons in zip(fewer["dates"].to_pylist(), fewer["seasons"].to_pylist(), strict=True):
        assert [date is None for date in dates] == [season is None for season in seasons]


def test_geopandas_opens_it_on_the_map(path: Path) -> None:
    frame = geopandas.read_parquet(path).set_index("id")
    assert frame.crs == "OGC:CRS84"
    assert dict(frame.geom_type.dropna()) == {"munich": "Polygon", "sydney": "Polygon", "centre-only": "Point"}
    assert frame.geometry["nowhere"] is None
    assert frame.geometry["munich"].centroid.x == pytest.approx(11.6, abs=1e-4)
    assert len(frame["embedding"].iloc[0]) == 1024


def test_a_query_by_place_finds_through_the_covering_column(path: Path) -> None:
    assert list(geopandas.read_parquet(path, bbox=(11, 47, 12, 49))["id"]) == ["munich"]


def test_the_metadata_says_what_version_1_1_of_the_format_asks(path: Path) -> None:
    schema = pq.read_schema(path)
    geo = json.loads(schema.metadata[b"geo"])
    column = geo["columns"]["geometry"]
    assert geo["version"] == "1.1.0"
    assert geo["primary_column"] == "geometry"
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Point", "Polygon"]
    assert column["covering"]["bbox"]["ymax"] == ["bbox", "ymax"]
    assert column["bbox"] == pytest.approx([11.58, -33.91, 151.21, 48.11], abs=0.02)
    assert json.loads(schema.metadata[b"sarpipe"]) == PROVENANCE
    assert schema.field("embedding").type == pa.list_(pa.float32(), 1024)
    codecs = {pq.read_metadata(path).row_group(0).column(i).compression for i in range(4)}
    assert codecs == {"ZSTD"}


def test_neighbours_on_the_ground_are_neighbours_in_the_file_and_unknown_places_last(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings]
) -> None:
    places = [("b-rome", 12.5, 41.9, 32633), ("a-quito", -78.5, -0.2, 32717), ("z-rome", 12.51, 41.91, 0)]
    table = make_embeddings([("nowhere", np.nan, np.nan, 0), *places, ("a-nowhere", np.nan, np.nan, 0)])
    write_geoparquet(tmp_path / "e.parquet", table, {})
    ids = read_geoparquet(tmp_path / "e.parquet").ids
    assert abs(ids.index("b-rome") - ids.index("z-rome")) == 1
    assert ids[-2:] == ("a-nowhere", "nowhere")


def test_the_bytes_depend_neither_on_the_run_nor_on_the_order_of_the_places(path: Path, embeddings: Embeddings) -> None:
    order = [2, 0, 3, 1]
    shuffled = Embeddings(
        tuple(embeddings.ids[i] for i in order),
        embeddings.vectors[order],
        embeddings.index.iloc[order].reset_index(drop=True),
    )
    other = path.with_name("other.parquet")
    write_geoparquet(other, shuffled, dict(reversed(PROVENANCE.items())))
    assert other.read_bytes() == path.read_bytes()


def test_a_place_across_the_antimeridian_is_found_from_either_side(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings]
) -> None:
    path = tmp_path / "e.parquet"
    write_geoparquet(path, make_embeddings([("fiji", -180.0, -16.8, 32701), ("rome", 12.5, 41.9, 32633)]), {})
    for bbox in ((179.99, -17, 180, -16), (-180, -17, -179.99, -16)):
        assert list(geopandas.read_parquet(path, bbox=bbox)["id"]) == ["fiji"]
    types = json.loads(pq.read_schema(path).metadata[b"geo"])["columns"]["geometry"]["geometry_types"]
    assert types == ["MultiPolygon", "Polygon"]


def test_no_places_and_no_known_positions_are_files_too(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings]
) -> None:
    for places in ([], [("nowhere", np.nan, np.nan, 0)]):
        write_geoparquet(tmp_path / "e.parquet", make_embeddings(places), {})
        assert len(read_geoparquet(tmp_path / "e.parquet").ids) == len(places)
        assert len(geopandas.read_parquet(tmp_path / "e.parquet")) == len(places)
        column = json.loads(pq.read_schema(tmp_path / "e.parquet").metadata[b"geo"])["columns"]["geometry"]
        assert column["geometry_types"] == []
        assert "bbox" not in column


def test_a_file_that_was_tampered_with_is_refused_on_reading(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    with pytest.raises(DataError, match="more than once"):
        read_geoparquet(path)
    flat = table["embedding"].combine_chunks().flatten().to_numpy().copy()
    flat[5] = np.nan
    spoiled = pa.FixedSizeListArray.from_arrays(pa.array(flat), 1024)
    pq.write_table(table.set_column(table.schema.get_field_index("embedding"), "embedding", spoiled), path)
    with pytest.raises(DataError, match="not finite"):
        read_geoparquet(path)
    pq.write_table(table.drop_columns(["crs"]), path)
    with pytest.raises(DataError, match="no column crs"):
        read_geoparquet(path)
    narrow = pa.FixedSizeListArray.from_arrays(pa.array(flat), 512).slice(0, 4)
    pq.write_table(table.set_column(table.schema.get_field_index("embedding"), "embedding", narrow), path)
    with pytest.raises(DataError, match="column embedding is"):
        read_geoparquet(path)


def test_what_is_no_parquet_file_is_refused_with_its_path(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"e\.parquet cannot be read"):
        read_geoparquet(path)
    with pytest.raises(DataError, match=r"missing\.parquet cannot be read"):
        read_geoparquet(path.with_name("missing.parquet"))


def test_provenance_that_json_cannot_say_is_refused(path: Path, embeddings: Embeddings) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_geoparquet(path, replace(embeddings), {"loss": float("nan")})


def test_a_flipped_byte_of_a_file_by_itself_changes_no_vector(
    path: Path, flipped: Callable[[Path], Iterator[None]]
) -> None:
    before = read_geoparquet(path)
    noticed = 0
    for _ in flipped(path):
        try:
            read = read_geoparquet(path)
        except DataError:
            noticed += 1
            continue
        np.testing.assert_array_equal(read.vectors, before.vectors)
        assert read.ids == before.ids
    assert noticed > 100
