from __future__ import annotations

import pytest
import torch

from sarpipe.ssl.neighbours import apart, distances_km


def coordinates(*pairs):
    return torch.tensor(pairs, dtype=torch.float64).unbind(1)


def test_known_distances():
    # Munich to Berlin; a degree of latitude; pole to pole; across the date line at the equator.
    distances = distances_km(*coordinates((48.137, 11.575), (52.52, 13.405), (49.137, 11.575), (90, 0), (-90, 77)))
    assert distances[0, 1] == pytest.approx(504.4, abs=1)
    assert distances[0, 2] == pytest.approx(111.2, abs=0.1)
    assert distances[3, 4] == pytest.approx(20015, abs=1)
    assert distances_km(*coordinates((0, 179.99), (0, -179.99)))[0, 1] == pytest.approx(2.22, abs=0.01)


def test_only_places_known_to_be_close_are_no_negatives():
    mask = apart(*coordinates((48.0, 11.0), (48.02, 11.0), (48.2, 11.0), (float("nan"), float("nan"))), 5.0)
    close = {(i, j) for i, j in (~mask).nonzero().tolist()}
    assert close == {(0, 0), (1, 1), (2, 2), (0, 1), (1, 0)}
