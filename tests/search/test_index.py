from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sarpipe.errors import DamagedError, DataError, UsageError
from sarpipe.search import Index, by_id, by_vector, find, nearest_to
from sarpipe.search.index import DIRECTIONS

Make = Callable[..., Index]


def test_what_is_written_is_read(make_index: Make, tmp_path: Path) -> None:
    index = make_index(50)
    index.write(tmp_path)
    read = Index.read(tmp_path)
    assert read.directions[:].tobytes() == index.directions[:].tobytes()
    assert read.directions[np.array([7, 3, 4, 7])].tobytes() == index.directions[np.array([7, 3, 4, 7])].tobytes()
    for method in ("exact", "binary"):
        assert find(read, by_id(read, "0000005"), 5, method=method) == find(
            index, by_id(index, "0000005"), 5, method=method
        )


def test_a_flipped_bit_is_seen_when_its_row_is_read(make_index: Make, tmp_path: Path) -> None:
    make_index(50).write(tmp_path)
    data = bytearray((tmp_path / DIRECTIONS).read_bytes())
    data[-1 - 128 * 4] ^= 1  # in the last row but one
    (tmp_path / DIRECTIONS).write_bytes(data)
    rows = Index.read(tmp_path).directions
    assert rows[:48].shape == (48, 128)
    with pytest.raises(DamagedError, match="a row does not match"):
        rows[np.array([3, 48])]
    (tmp_path / DIRECTIONS).write_bytes(data[:-500])
    with pytest.raises(DamagedError, match="cannot be read"):
        Index.read(tmp_path)


def test_a_place_is_never_found_by_itself_and_near_ones_are_left_out(make_index: Make) -> None:
    index = make_index(50)
    query = by_id(index, "0000020")
    everything = find(index, query, 100)
    assert sorted(hit.row for hit in everything.hits) == [row for row in range(50) if row != 20]
    assert [hit.rank for hit in everything.hits] == list(range(1, 50))
    far = find(index, query, 100, exclude_km=25)
    assert {hit.row for hit in everything.hits} - {hit.row for hit in far.hits} == {18, 19, 21, 22}
    assert (far.searched, far.left_out) == (45, 4)
    assert everything.hits[0].distance_km == pytest.approx(abs(everything.hits[0].row - 20) * 11.1195, rel=1e-4)
    assert [str(date)[:10] for date in everything.hits[0].dates] == ["2020-02-21", "2020-05-27"]


def test_a_vector_finds_the_place_that_it_is(make_index: Make) -> None:
    rng = np.random.default_rng(50)
    vectors = rng.standard_normal((50, 128)).astype(np.float32)
    found = find(make_index(50), by_vector(make_index(50), vectors[7], "mine"), 1)
    assert (found.hits[0].id, round(found.hits[0].similarity, 6)) == ("0000007", 1.0)
    assert np.isnan(found.hits[0].distance_km)


def test_an_unknown_id_is_answered_with_likely_ones(make_index: Make) -> None:
    with pytest.raises(UsageError, match="no place has the id '12' among 200") as caught:
        by_id(make_index(200), "12")
    assert caught.value.hint == "Did you mean 0000012, 0000112, 0000120?"
    with pytest.raises(UsageError, match="Did you mean 0000012") as caught:
        by_id(make_index(200), "000012")
    with pytest.raises(UsageError, match="Ids here look like 0000000"):
        by_id(make_index(200), "munich")


def test_the_nearest_place_is_taken_if_it_is_near(make_index: Make) -> None:
    index = make_index(50)
    query, away = nearest_to(index, 0.05, 3.01)
    assert (query.name, round(away, 1)) == ("0000030", 5.7)
    assert nearest_to(index, 0.0, 359.99)[0].name == "0000000"
    with pytest.raises(UsageError, match=r"the nearest, 0000000, is 111\.2 km away") as caught:
        nearest_to(index, 1.0, 0.0)
    assert caught.value.hint == "--within-km 112 (in Python within_km) takes it"
    assert nearest_to(index, 1.0, 0.0, 112)[0].name == "0000000"
    with pytest.raises(UsageError, match="Latitude comes first"):
        nearest_to(index, 151.2, -33.9)


def test_unknown_positions(make_index: Make) -> None:
    index = make_index(5, positions=False)
    query = by_id(index, "0000001")
    assert all(np.isnan(hit.distance_km) for hit in find(index, query, 5).hits)
    with pytest.raises(UsageError, match="the position of 0000001 is not known"):
        find(index, query, 5, exclude_km=1)
    with pytest.raises(UsageError, match="no place is at a known position"):
        nearest_to(index, 0, 0)


def test_no_place_and_wrong_vectors_are_refused(make_index: Make) -> None:
    with pytest.raises(DataError, match="no place"):
        make_index(0)
    for vector in (np.zeros(5), np.full(128, np.nan)):
        with pytest.raises(UsageError, match="the vector is an array"):
            by_vector(make_index(5), vector, "the vector")
