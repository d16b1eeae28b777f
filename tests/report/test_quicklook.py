from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from sarpipe.channels import CHANNELS
from sarpipe.cubes import CubeSet
from sarpipe.report.quicklook import NO_DATA, Scale, channel_scales, quicklook_png, quicklook_section


def pictures(section: str) -> list[np.ndarray]:
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)"', section)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("RGB")) for one in found]


def test_each_shown_place_has_its_twelve_channels_place_dates_and_orbits(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(8)
    places.index.loc[:, ["latitude", "longitude"]] = [-12.34567, 98.7]
    section = quicklook_section(places, np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32))
    assert len(pictures(section)) == 6 * 12
    assert section.count("<figcaption>diff_edge</figcaption>") == 6
    assert "Shown: 6 of 8 places, chosen to lie far apart" in section
    assert "latitude −12.3457, longitude 98.7000" in section
    assert "2020-02-21 descending" in section
    assert "2020-05-27 ascending" in section


def test_no_data_has_a_colour_that_no_value_has(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(1)
    places.cubes[0, :, :10, :20] = np.nan
    shown = pictures(quicklook_section(places, np.zeros((1, 4), np.float32)))
    assert len(shown) == len(CHANNELS)
    for picture, channel in zip(shown, places.cubes[0], strict=True):
        np.testing.assert_array_equal((picture == NO_DATA).all(axis=-1), np.isnan(channel))


@pytest.mark.parametrize("colours", ["gray", "viridis", "RdBu_r"])
def test_the_colour_of_no_data_is_far_from_every_colour_map(colours: str) -> None:
    palette = Scale(colours, 0, 1).palette().astype(int)
    assert np.linalg.norm(palette[:-1] - palette[-1], axis=1).min() > 90


def test_scales_are_shared_state_their_range_and_put_no_change_in_the_middle(
    make_places: Callable[..., CubeSet],
) -> None:
    places = make_places(6)
    places.cubes[:, CHANNELS.index("mean_vv")] = np.linspace(-30, 0, 6 * 64 * 64).reshape(6, 64, 64)
    by_name = dict(zip(CHANNELS, channel_scales(places.cubes), strict=True))
    assert by_name["mean_vv"].low == pytest.approx(-29.7, abs=0.01)
    assert by_name["mean_vv"].high == pytest.approx(-0.3, abs=0.01)
    assert by_name["std_vh"].low == 0
    assert by_name["diff_vv"].low == -by_name["diff_vv"].high
    assert by_name["diff_vv"].levels(np.float32([0])) == 127
    assert "−29.7 to −0.3" in quicklook_section(places, np.eye(6, dtype=np.float32))


@given(arrays(np.float32, (4, 4), elements=st.floats(-1e6, 1e6, width=32) | st.just(np.nan)))
def test_levels_follow_the_order_of_the_values(image: np.ndarray) -> None:
    levels = Scale("gray", -20, 0).levels(image)
    np.testing.assert_array_equal(levels == 255, np.isnan(image))
    known = np.isfinite(image)
    assert (np.diff(levels[known][np.argsort(image[known], kind="stable")].astype(int)) >= 0).all()


def test_a_flat_channel_and_one_without_data_are_drawn(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(2)
    places.cubes[:, 0] = -10
    places.cubes[:, 1] = np.nan
    shown = pictures(quicklook_section(places, np.eye(2, dtype=np.float32)))
    assert len(np.unique(shown[0].reshape(-1, 3), axis=0)) == 1
    assert (shown[1] == NO_DATA).all()


def test_the_png_is_a_picture_and_the_same_each_time(make_places: Callable[..., CubeSet]) -> None:
    places = make_places(3)
    places.cubes[0, 0, :32] = np.nan
    first = quicklook_png(places, [0, 2])
    assert first == quicklook_png(places, [0, 2])
    image = np.asarray(Image.open(io.BytesIO(first)).convert("RGB"))
    assert image.shape[1] > 5 * image.shape[0]
    # Half of one of 24 pictures, and some margin around them.
    assert (image == NO_DATA).all(axis=-1).mean() > 0.01
