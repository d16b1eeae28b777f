"""The nights are compared as the soak says it compares them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
STEADY = {
    "server MB": 240.0,
    "worker MB": 120.0,
    "server files": 40,
    "worker files": 20,
    "temporary": 0,
    "output": 60,
    "database MB": 5.0,
}


@pytest.fixture
def flat(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("flat")


@pytest.fixture
def compared(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("nightly")._compared


def nights(count, **changed):
    """Rows of so many nights; ``changed`` says what a figure was, night by night."""
    rows = [dict(STEADY) for _ in range(count)]
    for name, values in changed.items():
        for row, value in zip(rows, values, strict=True):
            row[name.replace("_", " ")] = value
    return rows


def test_a_third_is_the_first_or_last_of_the_nights_and_the_slope_is_that_of_all(flat):
    (worker,) = (one for one in flat.trends(nights(10, worker_MB=range(100, 200, 10))) if one.name == "worker MB")
    # Of ten nights three: 100, 110, 120 and 170, 180, 190.
    assert (worker.first, worker.last) == (110, 180)
    assert worker.slope == pytest.approx(10)


def test_one_bad_night_is_no_trend(flat):
    rows = nights(9, worker_MB=[120.0] * 8 + [500.0], temporary=[0] * 8 + [3])
    assert flat.judged(flat.trends(rows), 9) == []


@pytest.mark.parametrize(
    ("name", "last", "exceeds"),
    [
        ("worker MB", 144.0, False),
        ("worker MB", 145.0, True),
        ("server MB", 288.0, False),
        ("server MB", 289.0, True),
        ("server files", 42, False),
        ("server files", 43, True),
        ("temporary", 1, True),
        ("output", 61, True),
        ("worker MB", 60.0, False),
    ],
)
def test_bounds(flat, name, last, exceeds):
    rows = nights(9, **{name: [STEADY[name]] * 6 + [last] * 3})
    said = flat.judged(flat.trends(rows), 9)
    assert [sentence.split(" is not flat")[0] for sentence in said] == ([name] if exceeds else [])


def test_what_is_not_flat_is_said_in_a_sentence_and_by_the_exit_code(compared, capsys):
    assert compared(nights(9)) == 0
    assert capsys.readouterr().err == ""
    assert compared(nights(9, worker_MB=[100.0, 100, 100, 0, 0, 0, 150, 150, 150])) == 1
    out, err = capsys.readouterr()
    assert err == (
        "worker MB is not flat: 100 in the first third of the nights, 150 in the last (at most +20 %: "
        "it keeps up to 1.7 MB of a run that crashed, and nothing of others)\n"
    )
    assert "database MB" in out


def test_the_database_may_grow_as_it_does_at_first(compared, capsys):
    assert compared(nights(9, database_MB=[4 + 0.25 * night for night in range(9)])) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("database MB"))
    assert line.split()[2:5] == ["0.25", "0.25", "+0.250"]


@pytest.mark.parametrize(("growth", "exceeds"), [(-1.0, False), (0.0, False), (0.75, False), (0.8, True)])
def test_the_database_may_not_grow_faster_and_faster(flat, growth, exceeds):
    sizes = [4.0, 4.5, 5.0, 5.5, 6.0, 6.5, *(8 + growth * night for night in range(3))]
    said = flat.judged(flat.trends(nights(9, database_MB=sizes)), 9)
    sentence = "database MB is not flat: 0.5 in the first third of the nights, 0.8 in the last (at most +50 %"
    assert [one.startswith(sentence) for one in said] == ([True] if exceeds else [])


def test_a_database_that_does_not_grow_at_first_may_not_later(flat):
    shrinks_then_grows = nights(9, database_MB=[5.0, 4.9, 4.8, 4.8, 4.8, 4.8, 4.8, 4.9, 5.0])
    assert len(flat.judged(flat.trends(shrinks_then_grows), 9)) == 1


def test_too_few_nights_are_not_judged(compared, capsys):
    assert compared(nights(3, worker_MB=[100.0, 200.0, 300.0])) == 0
    assert "not judged: 3 nights" in capsys.readouterr().out
    assert compared(nights(1)) == 0
