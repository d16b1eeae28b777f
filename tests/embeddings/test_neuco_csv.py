from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sarpipe.embeddings import Embeddings, standardised, write_csv
from sarpipe.errors import DataError


def test_it_is_the_form_of_the_benchmark(tmp_path: Path, embeddings: Embeddings) -> None:
    write_csv(tmp_path / "e.csv", embeddings)
    header, *rows = (tmp_path / "e.csv").read_bytes().decode().split("\n")
    assert header == "id," + ",".join(map(str, range(1024)))
    assert [row.split(",")[0] for row in rows] == ["centre-only", "munich", "nowhere", "sydney", ""]
    frame = pd.read_csv(tmp_path / "e.csv", index_col="id")
    expected = pd.DataFrame(embeddings.vectors, index=list(embeddings.ids)).loc[list(frame.index)]
    np.testing.assert_array_equal(frame.to_numpy(np.float32), expected.to_numpy())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays(np.float32, 1024, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_every_float32_comes_back_to_the_bit_in_no_more_digits_than_it_needs(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings], values: np.ndarray
) -> None:
    table = replace(make_embeddings([("a", 1, 1, 0)]), vectors=values[None])
    write_csv(tmp_path / "e.csv", table)
    texts = (tmp_path / "e.csv").read_text().split("\n")[1].split(",")[1:]
    np.testing.assert_array_equal(
        np.array([np.float32(text) for text in texts]).view(np.uint32), values.view(np.uint32)
    )
    digits = [len(text.lower().split("e")[0].replace("-", "").replace(".", "").strip("0")) for text in texts]
    assert max(digits) <= 9


def test_an_id_that_would_break_the_lines_is_refused(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings]
) -> None:
    with pytest.raises(DataError, match="comma"):
        write_csv(tmp_path / "e.csv", make_embeddings([("a,b", 1, 1, 0)]))


def test_no_places_are_a_header_alone(tmp_path: Path, make_embeddings: Callable[..., Embeddings]) -> None:
    write_csv(tmp_path / "e.csv", make_embeddings([]))
    assert (tmp_path / "e.csv").read_text().count("\n") == 1


def test_standardised_dimensions_have_mean_0_and_deviation_1_and_constant_ones_are_0(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings]
) -> None:
    table = make_embeddings([(f"p{i}", i, 1, 0) for i in (3, 0, 4, 2, 1)])
    vectors = table.vectors * np.logspace(-3, 3, 1024, dtype=np.float32) + np.float32(5)
    vectors[:, 7] = 3.3
    table = replace(table, vectors=vectors)
    write_csv(tmp_path / "e.csv", standardised(table))
    frame = pd.read_csv(tmp_path / "e.csv", index_col="id")
    values = frame.to_numpy(np.float64)
    varies = np.arange(1024) != 7
    assert np.all(values[:, ~varies] == 0)
    np.testing.assert_allclose(values[:, varies].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(values[:, varies].std(axis=0), 1, rtol=1e-6)
    raw = pd.DataFrame(vectors.astype(np.float64), index=list(table.ids)).loc[frame.index].to_numpy()[:, varies]
    np.testing.assert_allclose(values[:, varies], (raw - raw.mean(axis=0)) / raw.std(axis=0), rtol=1e-5, atol=1e-6)


def test_both_pass_the_rules_of_the_benchmark(tmp_path: Path, embeddings: Embeddings) -> None:
    """id column, all ids, exact width, numbers, no NaN, as a reader that knows nothing of sarpipe finds them."""
    for name, table in (("raw", embeddings), ("standardised", standardised(embeddings))):
        write_csv(tmp_path / name, table)
        frame = pd.read_csv(tmp_path / name, header=0)
        assert "id" in frame.columns
        values = frame.set_index("id")
        assert set(embeddings.ids) == set(values.index)
        assert values.shape[1] == 1024
        assert not values.astype(float).isna().any(axis=None)
