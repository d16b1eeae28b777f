from __future__ import annotations

import numpy as np

from sarpipe.embeddings.hilbert import hilbert_distance


def test_the_curve_steps_from_cell_to_neighbouring_cell_and_visits_each_once() -> None:
    side = 16
    x, y = (values.ravel() for values in np.meshgrid(np.arange(side), np.arange(side)))
    distance = hilbert_distance((x + 0.5) / side * 360 - 180, (y + 0.5) / side * 180 - 90)
    order = np.argsort(distance)
    steps = np.abs(np.diff(x[order])) + np.abs(np.diff(y[order]))
    assert len(set(distance)) == side * side
    assert (steps == 1).all()


def test_the_edges_of_the_world_are_on_the_curve() -> None:
    corners = hilbert_distance(np.array([-180.0, -180, 180, 180]), np.array([-90.0, 90, -90, 90]))
    assert len(set(corners)) == 4
    assert (corners >= 0).all()
    assert (corners < 2**32).all()
