from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sarpipe.embeddings import Embeddings
from sarpipe.embeddings.table import LISTS
from sarpipe.errors import DataError


def test_an_id_that_stands_twice_is_refused_by_name(make_embeddings: Callable[..., Embeddings]) -> None:
    table = make_embeddings([("a", 1, 1, 0), ("b", 2, 2, 0), ("c", 3, 3, 0)])
    with pytest.raises(DataError, match="'b' stands more than once"):
        Embeddings(("a", "b", "b"), table.vectors, table.index.assign(id=["a", "b", "b"]))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_and_their_places_named(embeddings: Embeddings, number: float) -> None:
    vectors = embeddings.vectors.copy()
    vectors[[1, 3], 1023] = number
    with pytest.raises(DataError, match="'sydney', 'centre-only' is not finite"):
        replace(embeddings, vectors=vectors)


def test_many_bad_places_make_a_short_message(make_embeddings: Callable[..., Embeddings]) -> None:
    table = make_embeddings([(f"p{i}", 1, 1, 0) for i in range(40)])
    with pytest.raises(DataError, match="and 35 more") as refused:
        replace(table, vectors=np.full_like(table.vectors, np.nan))
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "vectors",
    [np.zeros((4, 1023), np.float32), np.zeros((3, 1024), np.float32), np.zeros((4, 1024)), np.zeros(4096, np.float32)],
    ids=["too narrow", "too few", "float64", "flat"],
)
def test_vectors_of_another_shape_or_type_are_refused(embeddings: Embeddings, vectors: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"need float32 \[4, 1024\]"):
        replace(embeddings, vectors=vectors)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda index: index.iloc[::-1], "not in the order of the ids at 'nowhere'"),
        (lambda index: index.iloc[:3], "3 rows for 4 places"),
        (lambda index: index.drop(columns=["crs", "dates"]), "lacks crs, dates"),
        (lambda index: index.assign(products=[["a"] * 4, ["a"] * 3, ["a"] * 4, ["a"] * 4]), "products of 'sydney'"),
        (lambda index: index.assign(**{name: [[], *index[name][1:]] for name in LISTS}), "dates of 'nowhere'"),
        (lambda index: index.assign(**{name: [[None] * 5, *index[name][1:]] for name in LISTS}), "dates of 'nowhere'"),
        (lambda index: index.drop(columns="flags"), "lacks flags"),
    ],
)
def test_an_index_that_does_not_agree_is_refused(
    embeddings: Embeddings, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        replace(embeddings, index=spoil(embeddings.index))


def test_dates_are_read_as_utc_whatever_type_holds_them(embeddings: Embeddings) -> None:
    first, second, third, fourth = embeddings.dates()[0]
    assert first == np.datetime64("2020-01-02T03:04:05.678901")
    assert np.isnat(second)
    assert np.isnat(third)
    assert fourth == np.datetime64("2020-07-01")


def test_places_of_fewer_dates_are_filled_up(fewer_dates_embeddings: Embeddings) -> None:
    table = fewer_dates_embeddings
    assert table.date_counts().tolist() == [1, 2, 3, 4]
    dates = table.dates()
    assert dates.shape == (4, 4)
    first = np.datetime64("2020-01-02T03:04:05.678901")
    assert (dates[:, 0] == first).all()
    assert np.isnat(dates[0, 1:]).all()
    assert dates[3, 3] == np.datetime64("2020-07-01")


def test_each_known_date_has_the_season_of_its_month(make_embeddings: Callable[..., Embeddings]) -> None:
    months = pd.date_range("1969-01-31", periods=13, freq="ME", tz="UTC")
    table = make_embeddings([(f"place {i}", 0.0, 10.0 * (-1) ** i, 0) for i in range(4)])
    columns = {name: [["x"] * 4, ["x"] * 4, ["x"] * 4, ["x"]] for name in ("products", "orbit_passes")}
    index = table.index.assign(
        dates=[list(months[:4]), list(months[4:8]), list(months[8:12]), [months[12]]],
        relative_orbits=[[1] * 4, [1] * 4, [1] * 4, [1]],
        **columns,
    )
    assert replace(table, index=index).seasons() == [
        ["DJF", "DJF", "MAM", "MAM"],
        ["MAM", "JJA", "JJA", "JJA"],
        ["SON", "SON", "SON", "DJF"],
        ["DJF"],
    ]
    assert table.seasons() == [["DJF", None, None, "JJA"]] * 4
    assert make_embeddings([]).seasons() == []
