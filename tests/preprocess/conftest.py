from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.transform import resize

import sarpipe.preprocess
from sarpipe.preprocess.kernel import kernel
from sarpipe.ssl4eo import read_store


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """A module that uses this runs twice: with the compiled kernel, and as on a machine that has none."""
    kernel.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.delattr(sarpipe.preprocess, "_kernel", raising=False)
            patch.setitem(sys.modules, "sarpipe.preprocess._kernel", None)
        assert (kernel() is None) == (request.param == "numpy")
        yield request.param
    kernel.cache_clear()


@pytest.fixture(scope="session")
def speckled() -> Callable[..., NDArray[np.float16]]:
    """Places of patches under speckle of 4.4 looks: ``float16 [n, 4 dates, 2, size, size]`` in dB, no pixel missing."""

    def places(n: int = 1, *, seed: int = 0, size: int = 264) -> NDArray[np.float16]:
        random = np.random.default_rng(seed)
        patches = np.kron(random.uniform(-18, -6, (n, 1, 1, 8, 8)), np.ones((size // 8, size // 8)))
        season = random.normal(0, 1, (n, 4, 1, 1, 1))
        level = patches + season + np.array([0.0, -7.0])[:, None, None]
        speckle = random.gamma(4.4, 1 / 4.4, (n, 4, 2, size, size))
        return (level + 10 * np.log10(speckle)).astype(np.float16)

    return places


@pytest.fixture(scope="session")
def real_places(real_data: Path) -> NDArray[np.float16]:
    """Six real places."""
    return read_store(next((real_data / "S1GRD").glob("*900001.zarr.zip"))).db


@pytest.fixture(scope="session")
def reference_frames() -> Callable[[NDArray[np.floating]], NDArray[np.float32]]:
    """The features of recipe ``original``, one image at a time: ``[dates, 2, H, W]`` to ``[dates, 4, H, W]``."""

    def frames(place: NDArray[np.floating]) -> NDArray[np.float32]:
        dates = []
        for date in place:
            vv = cv2.bilateralFilter(date[0].astype(np.float32), 9, 75, 75)
            vh = cv2.bilateralFilter(date[1].astype(np.float32), 9, 75, 75)
            grey = cv2.normalize(vv, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
            equalised = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
            across = cv2.Sobel(equalised, cv2.CV_32F, 1, 0, ksize=3)
            down = cv2.Sobel(equalised, cv2.CV_32F, 0, 1, ksize=3)
            dates.append([vv, vh, equalised.astype(np.float32), np.sqrt(across**2 + down**2)])
        return np.array(dates, np.float32)

    return frames


@pytest.fixture(scope="session")
def reference_resize() -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """skimage's resize to 64 x 64, one image at a time: ``[channels, H, W]`` to ``[channels, 64, 64]``."""

    def resized(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array(
            [resize(image, (64, 64), mode="reflect", preserve_range=True, anti_aliasing=True) for image in images],
            np.float32,
        )

    return resized
