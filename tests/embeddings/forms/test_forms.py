import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sarpipe.embeddings.forms import FEWEST, FORMS, Binary, Float16, Form, Int8, PcaInt8, Product
from sarpipe.errors import DataError

BYTES = {"float16": 2048, "int8": 1028, "binary": 128, "pca_int8": 64, "pq": 64}
LEARNING = ["binary", "pca_int8", "pq"]


def few_directions(count: int, seed: int, dimensions: int = 1024) -> np.ndarray:
    """Vectors whose variance lies in few directions, as that of embeddings does."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(99).standard_normal((160, dimensions))
    along = rng.standard_normal((count, 160)) * 0.95 ** np.arange(160)
    return (3 + along @ basis).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return few_directions(300, 0)


@pytest.fixture(scope="module")
def fitted(vectors: np.ndarray) -> dict[str, Form]:
    return {name: kind.fit(vectors) for name, kind in FORMS.items()}


def lost(form: Form, vectors: np.ndarray) -> float:
    """Share of the variance that does not come back."""
    error = np.square(vectors - form.decode(form.encode(vectors))).sum()
    return float(error / np.square(vectors - vectors.mean(axis=0)).sum())


@pytest.mark.parametrize("name", FORMS)
def test_a_place_takes_exactly_so_many_bytes(fitted: dict[str, Form], vectors: np.ndarray, name: str) -> None:
    codes = fitted[name].encode(vectors)
    assert (codes.dtype, codes.shape) == (np.uint8, (300, BYTES[name]))
    assert fitted[name].bytes_a_place == BYTES[name]
    assert codes.nbytes == 300 * BYTES[name]
    assert fitted[name].overhead_bytes == sum(array.nbytes for array in fitted[name].arrays().values())
    assert (fitted[name].overhead_bytes > 0) == (name in LEARNING)


@pytest.mark.parametrize("name", FORMS)
def test_decoding_gives_about_what_was_encoded_also_of_places_not_learnt_from(
    fitted: dict[str, Form], name: str
) -> None:
    others = few_directions(100, 1)
    found = fitted[name].decode(fitted[name].encode(others))
    assert (found.dtype, found.shape) == (np.float32, others.shape)
    most = {"float16": 1e-6, "int8": 1e-3, "binary": 0.2, "pca_int8": 0.1, "pq": 0.1}[name]
    assert lost(fitted[name], others) < most


@pytest.mark.parametrize("name", FORMS)
def test_the_same_vectors_give_the_same_bytes(fitted: dict[str, Form], vectors: np.ndarray, name: str) -> None:
    again = FORMS[name].fit(vectors.copy())
    first = fitted[name].arrays()
    assert {key: array.tobytes() for key, array in again.arrays().items()} == {
        key: array.tobytes() for key, array in first.items()
    }
    np.testing.assert_array_equal(again.encode(vectors), fitted[name].encode(vectors))


@pytest.mark.parametrize("name", FORMS)
def test_a_vector_is_encoded_by_itself(fitted: dict[str, Form], vectors: np.ndarray, name: str) -> None:
    together = fitted[name].decode(fitted[name].encode(vectors))
    alone = np.concatenate([fitted[name].decode(fitted[name].encode(vectors[i : i + 1])) for i in range(5)])
    np.testing.assert_allclose(alone, together[:5], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(
    fitted: dict[str, Form], vectors: np.ndarray, name: str, bad: float
) -> None:
    broken = vectors.copy()
    broken[7, 5] = bad
    with pytest.raises(DataError, match="vector 7 is not finite"):
        FORMS[name].fit(broken)
    with pytest.raises(DataError, match="vector 7 is not finite"):
        fitted[name].encode(broken)


@pytest.mark.parametrize("name", FORMS)
def test_vectors_and_codes_of_another_width_are_refused(fitted: dict[str, Form], name: str) -> None:
    with pytest.raises(DataError, match="need"):
        fitted[name].encode(np.zeros((2, 7), np.float32))
    with pytest.raises(DataError, match="need uint8"):
        fitted[name].decode(np.zeros((2, 7), np.uint8))


@pytest.mark.parametrize("name", LEARNING)
def test_few_places_are_refused_where_something_is_learnt(name: str) -> None:
    with pytest.raises(DataError, match=f"it takes {FEWEST}"):
        FORMS[name].fit(few_directions(FEWEST - 1, 0))
    form = FORMS[name].fit(few_directions(FEWEST, 0))
    assert form.bytes_a_place <= BYTES[name]
    assert lost(form, few_directions(40, 1)) < 0.5


@pytest.mark.parametrize("kind", [Float16, Int8])
def test_one_place_is_enough_where_nothing_is_learnt(kind: type[Form]) -> None:
    one = few_directions(1, 0)
    np.testing.assert_allclose(kind.fit(one).decode(kind.fit(one).encode(one)), one, atol=0.2)
    none = np.empty((0, 1024), np.float32)
    assert kind.fit(none).encode(none).shape == (0, kind.fit(none).bytes_a_place)


numbers = st.floats(-6e4, 6e4, width=32)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (3, 16), elements=numbers))
def test_int8_is_off_by_half_a_step_at_most(vectors: np.ndarray) -> None:
    form = Int8.fit(vectors)
    step = np.abs(vectors).max(axis=1, keepdims=True) / 127
    off = np.abs(form.decode(form.encode(vectors)).astype(np.float64) - vectors)
    assert (off <= 0.5001 * step + 1e-37).all()


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, (3, 16), elements=numbers))
def test_float16_is_the_nearest_half(vectors: np.ndarray) -> None:
    form = Float16.fit(vectors)
    np.testing.assert_array_equal(form.decode(form.encode(vectors)), vectors.astype(np.float16).astype(np.float32))


def test_what_float16_cannot_hold_is_refused() -> None:
    with pytest.raises(DataError, match="float16 cannot hold"):
        Float16(2).encode(np.array([[0, 1], [0, 1e6]], np.float32))


def test_pq_takes_the_nearest_centroid_of_each_pair_of_components(fitted: dict[str, Form], vectors: np.ndarray) -> None:
    form = fitted["pq"]
    assert isinstance(form, Product)
    codes = form.encode(vectors[:20])
    for row, vector in enumerate(vectors[:20].astype(np.float64)):
        along = [float((vector - form.mean) @ axis.astype(np.float64)) for axis in form.axes]
        for part in range(64):
            pair = np.array([along[part], along[127 - part]])
            distances = [float(np.square(pair - centroid).sum()) for centroid in form.codebooks[part]]
            assert distances[codes[row, part]] <= min(distances) * (1 + 1e-9) + 1e-9


def test_pq_decodes_to_the_centroids(fitted: dict[str, Form], vectors: np.ndarray) -> None:
    form = fitted["pq"]
    assert isinstance(form, Product)
    codes = form.encode(vectors[:3])
    for row in range(3):
        expected = form.mean.astype(np.float64)
        for part in range(64):
            first, last = form.codebooks[part, codes[row, part]]
            expected = expected + first * form.axes[part] + last * form.axes[127 - part]
        np.testing.assert_allclose(form.decode(codes)[row], expected, rtol=1e-5, atol=1e-4)


def test_a_code_that_names_no_centroid_is_refused(vectors: np.ndarray) -> None:
    form = Product.fit(vectors[:200])
    with pytest.raises(DataError, match="centroid 255 of 200"):
        form.decode(np.full((1, 64), 255, np.uint8))


def test_each_bit_asks_whether_its_component_lies_above_its_threshold(
    fitted: dict[str, Form], vectors: np.ndarray
) -> None:
    form = fitted["binary"]
    assert isinstance(form, Binary)
    bits = np.unpackbits(form.encode(vectors[:10]), axis=1)
    for row, vector in enumerate(vectors[:10].astype(np.float64)):
        along = [float((vector - form.mean) @ axis.astype(np.float64)) for axis in form.axes]
        asked = zip(form.component, form.threshold, strict=True)
        assert [along[which] > above for which, above in asked] == bits[row].astype(bool).tolist()


def test_a_binary_code_decodes_to_the_level_between_its_thresholds(
    fitted: dict[str, Form], vectors: np.ndarray
) -> None:
    form = fitted["binary"]
    assert isinstance(form, Binary)
    codes = form.encode(vectors[:3])
    bits = np.unpackbits(codes, axis=1)
    for row in range(3):
        along = form.lowest.astype(np.float64)
        for which, step, bit in zip(form.component, form.step, bits[row], strict=True):
            along[which] += step * bit
        np.testing.assert_allclose(form.decode(codes)[row], form.mean + along @ form.axes, rtol=1e-5, atol=1e-4)


def test_bits_of_a_component_are_a_thermometer(fitted: dict[str, Form], vectors: np.ndarray) -> None:
    form = fitted["binary"]
    assert isinstance(form, Binary)
    bits = np.unpackbits(form.encode(vectors), axis=1)
    for which in range(len(form.axes)):
        of_one = bits[:, form.component == which].astype(int)
        # Thresholds ascend: once a place is below one it is below all that follow.
        assert (np.diff(of_one, axis=1) <= 0).all()


def test_binary_finds_neighbours_again_that_the_signs_of_the_dimensions_lose(
    fitted: dict[str, Form], vectors: np.ndarray
) -> None:
    """The reason for asking components, in numbers: variance lost by signs about the means, and by our bits."""
    others = few_directions(200, 2)
    mean = vectors.mean(axis=0)
    high = np.where(vectors > mean, vectors, np.nan)
    low = np.where(vectors > mean, np.nan, vectors)
    signs = np.where(others > mean, np.nanmean(high, axis=0), np.nanmean(low, axis=0))
    by_signs = np.square(others - signs).sum() / np.square(others - others.mean(axis=0)).sum()
    assert lost(fitted["binary"], others) < by_signs / 2


def test_pca_int8_keeps_what_the_components_span(vectors: np.ndarray) -> None:
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    values = np.linalg.svd(centred, compute_uv=False) ** 2
    least = 1 - values[:64].sum() / values.sum()
    assert least < lost(PcaInt8.fit(vectors), vectors) < least + 1e-3


@pytest.mark.parametrize("name", LEARNING)
def test_more_places_than_dimensions(name: str, vectors: np.ndarray) -> None:
    few = np.ascontiguousarray(vectors[:, :200])
    form = FORMS[name].fit(few)
    assert form.decode(form.encode(few)).shape == few.shape
    assert lost(form, few) < 0.2


@pytest.mark.parametrize("name", LEARNING)
def test_vectors_that_are_all_the_same_come_back(name: str) -> None:
    same = np.tile(few_directions(1, 0), (FEWEST, 1))
    form = FORMS[name].fit(same)
    np.testing.assert_allclose(form.decode(form.encode(same)), same, rtol=1e-4, atol=1e-4)


def test_codes_of_components_are_nested() -> None:
    vectors = np.random.default_rng(0).standard_normal((200, 96), np.float32) * np.linspace(3, 1, 96, dtype=np.float32)
    long, short = PcaInt8.fit(vectors, 64), PcaInt8.fit(vectors, 32)
    np.testing.assert_array_equal(long.encode(vectors)[:, :32], short.encode(vectors))
