from __future__ import annotations

import contextlib
import pickle
import tracemalloc
import zlib

import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarpipe.errors import DataError
from sarpipe.ssl4eo.codec import decode_into

CODECS = [
    {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
    {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 2, "blocksize": 0},
    {"id": "lz4", "acceleration": 1},
    {"id": "zlib", "level": 1},
    {"id": "zstd", "level": 1},
]
NAMES = [f"{codec['id']}-{codec.get('cname', '')}" for codec in CODECS]
DATA = np.arange(5000, dtype="<f4").tobytes()


def decode(data: bytes, codec: dict[str, object] | None, size: int, where: str) -> bytes:
    """Into memory that holds something else before."""
    out = np.full(size, 170, np.uint8)
    decode_into(data, codec, out, where)
    return out.tobytes()


@pytest.mark.parametrize("codec", CODECS, ids=NAMES)
def test_what_was_encoded_is_decoded(codec: dict[str, object]) -> None:
    for data in (DATA, b"x", bytes(300), bytes(70_000)):
        encoded = bytes(numcodecs.get_codec(codec).encode(data))
        assert decode(encoded, codec, len(data), "s/bands/0") == data
    assert decode(DATA, None, len(DATA), "s/bands/0") == DATA


@pytest.mark.parametrize("codec", [*CODECS, None], ids=[*NAMES, "none"])
@pytest.mark.parametrize("size", [0, 1, len(DATA) - 1, len(DATA) + 1])
def test_a_chunk_of_another_size_is_refused(codec: dict[str, object] | None, size: int) -> None:
    encoded = bytes(numcodecs.get_codec(codec).encode(DATA)) if codec else DATA

    with pytest.raises(DataError, match=r"s/bands/0: .*expected") as caught:
        decode(encoded, codec, size, "s/bands/0")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("codec", CODECS, ids=NAMES)
def test_a_chunk_cut_anywhere_is_refused(codec: dict[str, object]) -> None:
    encoded = bytes(numcodecs.get_codec(codec).encode(DATA))
    for size in {*range(40), *range(0, len(encoded), 97), *range(len(encoded) - 12, len(encoded))}:
        with pytest.raises(DataError, match="s/bands/0"):
            decode(encoded[:size], codec, len(DATA), "s/bands/0")


@settings(deadline=None)
@given(st.sampled_from(CODECS), st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1))
def test_damaged_chunks_are_decoded_to_their_size_or_refused(
    codec: dict[str, object], flips: list[tuple[int, int]]
) -> None:
    encoded = bytearray(numcodecs.get_codec(codec).encode(DATA))
    for place, change in flips:
        encoded[place % len(encoded)] ^= change
    with contextlib.suppress(DataError):
        assert len(decode(bytes(encoded), codec, len(DATA), "s/bands/0")) == len(DATA)


@settings(deadline=None)
@given(st.sampled_from(["blosc", "lz4", "zlib", "zstd"]), st.binary(max_size=100))
def test_any_bytes_are_refused_and_nothing_else(name: str, data: bytes) -> None:
    with pytest.raises(DataError):
        decode(data, {"id": name}, 1000, "s/bands/0")


class Witness:
    seen = False

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return (Witness.see, ())

    @staticmethod
    def see() -> None:
        Witness.seen = True


@pytest.mark.parametrize("name", ["pickle", "json2", "gzip", "vlen-utf8", "delta", "nobody", ""])
def test_other_codecs_are_refused_and_run_nothing(name: str) -> None:
    with pytest.raises(DataError, match="is not allowed") as caught:
        decode(pickle.dumps(Witness()), {"id": name}, 1, "s/bands/0")

    assert repr(name) in caught.value.message
    assert "blosc" in caught.value.hint
    assert not Witness.seen


def test_no_more_is_inflated_than_the_schema_allows() -> None:
    # Each stands for 200 MB of zeros.
    zeros = bytes(200_000_000)
    bombs = {
        "zlib": zlib.compress(zeros, 1),
        "blosc": bytes(numcodecs.Blosc("lz4").encode(zeros)),
        "zstd": bytes(numcodecs.Zstd().encode(zeros)),
        "lz4": bytes(numcodecs.LZ4().encode(zeros)),
    }
    del zeros
    for name, bomb in bombs.items():
        tracemalloc.start()
        try:
            with pytest.raises(DataError):
                decode(bomb, {"id": name}, 1000, "s/bands/0")
            assert tracemalloc.get_traced_memory()[1] < 10_000_000, name
        finally:
            tracemalloc.stop()
