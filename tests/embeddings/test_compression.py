from __future__ import annotations

import json

import pytest

from sarpipe.embeddings import compression


def test_the_ratios_are_those_of_the_bytes_that_exist() -> None:
    found = compression(64 * 731_136, 64)
    assert found["bytes_per_place"] == {
        "raw_float16": 1_115_136,
        "source_on_disk": 731_136.0,
        "embedding_float32": 4096,
    }
    assert found["ratios"]["raw_float16_to_embedding"] == 272.25
    assert found["ratios"]["source_on_disk_to_embedding"] == pytest.approx(178.5)
    assert found["value_ratios"] == {"s1_cube": 544.5, "s1_s2_cube": 7350.75}


def test_places_of_a_single_date_are_smaller_before_and_so_are_their_ratios() -> None:
    found = compression(64 * 200_000, 64, dates=1)
    assert found["bytes_per_place"]["raw_float16"] == 278_784
    assert found["ratios"]["raw_float16_to_embedding"] == 68.0625
    assert found["value_ratios"] == {"s1_cube": 136.125, "s1_s2_cube": 7350.75}


def test_what_is_not_known_is_said_to_be_so() -> None:
    found = compression(0, 0)
    assert found["ratios"]["source_on_disk_to_embedding"] is None
    json.dumps(found, allow_nan=False)
