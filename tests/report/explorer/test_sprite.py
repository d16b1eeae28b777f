from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from sarpipe.cubes import CubeSet
from sarpipe.report.explorer.sprite import scales_of, spread_order, sprites


@pytest.mark.parametrize("count", [1, 2, 3, 64, 100, 1000])
def test_every_beginning_of_the_order_is_spread_evenly(count: int) -> None:
    order = spread_order(count)
    assert sorted(order) == list(range(count))
    for taken in range(4, count, 7):
        assert np.diff(np.sort(order[:taken])).max() <= 4 * count / taken


def decoded(sprite: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(sprite))).convert("RGBA"))


def test_a_sprite_holds_all_channels_and_dates(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(3)
    ramp = np.linspace(-20, -5, 64, dtype=np.float32)
    places.cubes[:] = ramp * np.arange(1, 13, dtype=np.float32)[:, None, None]
    frames = np.broadcast_to(ramp.astype(np.float16), (3, 4, 4, 64, 64)).copy()
    frames[:, :, 1] *= 2
    frames[1, 3] = np.nan
    frames[1, 0, 0, :32] = np.nan
    places = CubeSet(places.ids, places.cubes, frames, places.index, None)
    scales = scales_of(places)
    made = sprites(places, scales, 10**9)
    assert list(made) == [0, 1, 2]
    picture = decoded(made[1]).astype(int)
    assert picture.shape == (3 * 64 + 32, 4 * 64, 4)
    for channel, scale in enumerate(scales):
        top, left = 64 * (channel // 4), 64 * (channel % 4)
        tile = picture[top : top + 64, left : left + 64]
        assert (tile[..., 3] == 255).all()
        assert np.abs(tile[4:-4, 4:-4, 1] - scale.levels(places.cubes[1, channel])[4:-4, 4:-4]).mean() < 8
    dates = picture[192:].reshape(32, 8, 32, 4).swapaxes(0, 1)
    known = (dates[..., 3] == 255).mean(axis=(1, 2))
    np.testing.assert_array_equal(known, [0.5, 1, 1, 0, 1, 1, 1, 0])
    halves = ramp.reshape(32, 2).mean(axis=1)
    for band, factor in ((0, 1), (1, 2)):
        expected = scales[band].levels((factor * halves).astype(np.float32))
        assert np.abs(dates[4 * band + 1, 4:-4, 4:-4, 1] - expected[4:-4]).mean() < 8


def test_as_many_sprites_are_made_as_fit(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(200)
    scales = scales_of(places)
    one = len(sprites(places, scales, 0)[0])
    some = sprites(places, scales, 20 * one + 1)
    assert len(some) == 20
    assert max(np.diff(list(some))) < 40
    assert some == sprites(places, scales, 20 * one + 1)
