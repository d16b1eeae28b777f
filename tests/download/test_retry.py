import datetime as dt
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.download import Retry
from sarpipe.download.retry import asked_wait_s


@given(st.integers(1, 1000))
def test_waits_grow_within_their_bounds(failures: int) -> None:
    wait = Retry(base_s=2.0, cap_s=60.0).wait_s(failures, None)
    longest = min(60.0, 2.0 ** min(failures, 100))
    assert longest / 2 <= wait <= longest


@given(st.floats(0, 1e9))
def test_the_server_is_heard_up_to_the_cap(asked: float) -> None:
    assert Retry(asked_cap_s=300.0).wait_s(1, asked) == min(asked, 300.0)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"ratelimit": '"resolvers";r=0;t=55'}, 55.0),
        ({"ratelimit": '"resolvers";r=7;t=55'}, None),
        ({"retry-after": "3", "ratelimit": '"api";r=0;t=55'}, 3.0),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], wait: float | None) -> None:
    assert asked_wait_s(headers) == wait


def test_a_date_is_taken_from_now() -> None:
    date = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)
    assert asked_wait_s({"retry-after": format_datetime(date, usegmt=True)}) == pytest.approx(100, abs=5)


@given(st.text(), st.text())
def test_no_header_is_too_odd(after: str, limit: str) -> None:
    wait = asked_wait_s({"retry-after": after, "ratelimit": limit})
    assert wait is None or wait >= 0
