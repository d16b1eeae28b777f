"""DuckDB, without any extension from the network, on the GeoParquet file."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

from sarpipe.embeddings import Embeddings, write_geoparquet


@pytest.fixture
def path(tmp_path: Path, embeddings: Embeddings) -> str:
    write_geoparquet(tmp_path / "e.parquet", embeddings, {})
    return str(tmp_path / "e.parquet")


def test_it_finds_places_in_a_box(path: str) -> None:
    query = "SELECT id FROM read_parquet(?) WHERE bbox.xmin > 10 AND bbox.xmax < 12 AND bbox.ymin > 45"
    assert duckdb.execute(query, [path]).fetchall() == [("munich",)]


def test_it_finds_places_by_date_and_orbit(path: str) -> None:
    query = """SELECT count(*) FROM read_parquet(?)
               WHERE list_contains(orbit_passes, 'descending') AND list_max(dates) >= TIMESTAMPTZ '2020-07-01 00:00:00Z'
               AND valid_fraction > 0.7 AND NOT list_contains(flags, 'single_date')"""
    assert duckdb.execute(query, [path]).fetchall() == [(4,)]


def test_its_cosine_similarity_is_that_of_the_vectors(path: str, embeddings: Embeddings) -> None:
    query = """WITH e AS (SELECT * FROM read_parquet(?))
               SELECT b.id, list_cosine_similarity(a.embedding, b.embedding) FROM e a, e b
               WHERE a.id = 'munich' ORDER BY b.id"""
    found = dict(duckdb.execute(query, [path]).fetchall())
    unit = embeddings.vectors / np.linalg.norm(embeddings.vectors, axis=1, keepdims=True)
    cosine = unit @ unit[embeddings.ids.index("munich")]
    assert [found[place] for place in embeddings.ids] == pytest.approx(cosine, abs=1e-5)
