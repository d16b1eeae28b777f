import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarpipe.evaluate.retrieval import ranks
from sarpipe.search import binary, directions, exact, sign_bits
from sarpipe.search.binary import hamming
from sarpipe.standard import Standard


def drawn(seed: int, n: int, dimensions: int, distinct: int) -> np.ndarray:
    """Vectors of which some are equal."""
    rng = np.random.default_rng(seed)
    few = rng.standard_normal((distinct, dimensions)).astype(np.float32) + 3
    vectors = few[rng.integers(0, distinct, n)]
    return directions(vectors, Standard.of(vectors))


def brute_force(gallery: np.ndarray, query: np.ndarray, k: int, allowed: np.ndarray) -> list[int]:
    similarity = [sum(gallery[row].astype(float) * query.astype(float)) for row in range(len(gallery))]
    rows = [row for row in range(len(gallery)) if allowed[row]]
    return sorted(rows, key=lambda row: (-round(similarity[row], 12), row))[:k]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(2, 70), st.integers(2, 40), st.integers(1, 45))
def test_both_ways_equal_brute_force_also_where_places_are_equal(
    seed: int, n: int, dimensions: int, distinct: int, k: int
) -> None:
    gallery = drawn(seed, n, dimensions, distinct)
    rng = np.random.default_rng(seed)
    allowed = rng.random(n) < 0.8
    query = gallery[int(rng.integers(n))]
    expected = brute_force(gallery, query, k, allowed)
    rows, similarities = exact(gallery, query[None], k, allowed)
    assert rows[0].tolist() == expected
    assert similarities[0] == pytest.approx(np.clip(gallery[expected].astype(float) @ query, -1, 1), abs=1e-12)
    # All are candidates, so nothing is missed.
    for again, its in zip(
        binary(gallery, sign_bits(gallery), query[None], k, allowed), (rows, similarities), strict=True
    ):
        assert again.tobytes() == its.tobytes()


def test_near_duplicates_are_told_apart_although_float32_does_not() -> None:
    gallery = np.zeros((9, 1024), np.float32)
    gallery[:, 0] = 1 - 1e-6
    gallery[:, 1] = np.arange(9) * 1e-5
    query = np.zeros((1, 1024), np.float32)
    query[0, :2] = 1 - 1e-6, 1e-4
    assert len(set((gallery @ query[0]).tolist())) == 1
    assert exact(gallery, query, 9)[0][0].tolist() == list(range(9))[::-1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 200))
@settings(max_examples=30, deadline=None)
def test_bits_differ_as_signs_do(seed: int, n: int, dimensions: int) -> None:
    gallery = np.random.default_rng(seed).standard_normal((n, dimensions)).astype(np.float32)
    bits = sign_bits(gallery)
    expected = ((gallery > 0) != (gallery[0] > 0)).sum(axis=1)
    assert hamming(bits, bits[:, 0]).tolist() == expected.tolist()


def test_candidates_are_those_of_the_fewest_differing_bits() -> None:
    gallery = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    differ = ((gallery > 0) != (gallery[0] > 0)).sum(axis=1)
    chosen = np.argsort(differ, kind="stable")[:50]
    rows, _ = binary(gallery, sign_bits(gallery), gallery[:1], 10, candidates=50)
    assert rows[0].tolist() == brute_force(gallery, gallery[0], 10, np.isin(np.arange(500), chosen))


def test_many_queries_are_answered_as_one_by_one() -> None:
    gallery = drawn(0, 300, 32, 200)
    allowed = ~np.eye(300, dtype=bool)
    rows, similarities = exact(gallery, gallery, 3, allowed)
    for i in range(0, 300, 60):
        alone = exact(gallery, gallery[i : i + 1], 3, allowed[i])
        assert (alone[0][0].tolist(), alone[1][0].tolist()) == (rows[i].tolist(), similarities[i].tolist())


def test_the_first_hit_is_the_one_that_the_evaluation_ranks_first() -> None:
    rng = np.random.default_rng(0)
    content = rng.standard_normal((200, 24)) * np.linspace(0.1, 50, 24) + 100
    query, gallery = (content + rng.standard_normal((200, 24)) * np.linspace(0.1, 50, 24) * 0.7 for _ in range(2))
    standard = Standard.of(np.concatenate([query, gallery]))
    rows, _ = exact(directions(gallery, standard), directions(query, standard), 1)
    found = ranks(query, gallery) == 1
    assert 20 < found.sum() < 180
    assert ((rows[:, 0] == np.arange(200)) == found).all()


def test_250_000_places_are_searched_by_their_bits_in_little_memory() -> None:
    n = 250_000
    bits = np.random.default_rng(0).integers(0, 2**64, (16, n), np.uint64)

    class Rows:
        shape = (n, 1024)
        read = 0

        def __getitem__(self, which: np.ndarray) -> np.ndarray:
            Rows.read += len(which)
            return np.full((len(which), 1024), 1 / 32, np.float32)

    query = np.full((1, 1024), 1 / 32, np.float32)
    tracemalloc.start()
    rows, _ = binary(Rows(), bits, query, 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.shape == (1, 10)
    assert Rows.read == 1000
    assert peak < 50e6


def test_nothing_allowed_and_nothing_asked_for() -> None:
    gallery = drawn(1, 10, 16, 10)
    for rows, similarities in (
        exact(gallery, gallery[:2], 5, np.zeros(10, bool)),
        binary(gallery, sign_bits(gallery), gallery[:2], 5, np.zeros(10, bool)),
        exact(gallery, gallery[:2], 0),
    ):
        assert (rows.shape, similarities.shape) == ((2, 0), (2, 0))
