from __future__ import annotations

import math
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.report.markup import NOT_MEASURED, interval, number, text


@given(st.text())
def test_escaped_text_is_read_back_as_one_piece_of_data(value: str) -> None:
    read: list[tuple[str, object]] = []
    parser = HTMLParser()
    parser.handle_data = lambda data: read.append(("data", data))  # type: ignore[method-assign]
    parser.handle_starttag = lambda tag, attrs: read.append((tag, attrs))  # type: ignore[method-assign]
    parser.feed(f'<p title="{text(value)}">{text(value)}<b>')
    assert read[0] == ("p", [("title", value)])
    assert "".join(str(data) for tag, data in read[1:] if tag == "data") == value
    assert [tag for tag, _ in read if tag != "data"] == ["p", "b"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-0.001, "0.00"), (-1.005, "−1.00"), (1115136, "1,115,136.00"), (np.float32(0.5), "0.50"), (np.int64(3), "3.00")],
)
def test_numbers_are_written_for_a_reader(value: object, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize("value", [None, math.nan, math.inf, True, "0.5"])
def test_what_is_no_number_was_not_measured(value: object) -> None:
    assert number(value) == NOT_MEASURED


def test_an_interval_needs_two_ends() -> None:
    assert interval([-0.1, 0.25]) == "−0.10 to 0.25"
    assert [interval(bounds) for bounds in (None, [0.1], [0.1, None], [math.nan, 1.0])] == [""] * 4
