"""What sarpipe is measured against: the functions that its recipes name, image by image, one thread each.

`original` is written from the program that sarpipe starts from: cv2.bilateralFilter, cv2.createCLAHE, cv2.Sobel and
skimage's resize, with one zarr read for each place. `sar` is the default recipe in the same functions, where nothing is
missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

try:
    from skimage.transform import resize
except ModuleNotFoundError:  # a machine for training need not have it
    resize = None


def resized(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[n, H, W]`` to ``[n, 64, 64]``, one image at a time."""
    if resize is None:
        return np.stack([resized_by_opencv(image) for image in images])
    return np.stack(
        [resize(image, (64, 64), mode="reflect", preserve_range=True, anti_aliasing=True) for image in images]
    )


def resized_by_opencv(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What scikit-image's resize does, put together from OpenCV's functions: a Gaussian, then linear interpolation."""
    sigma = (len(image) / 64 - 1) / 2
    size = 2 * int(4 * sigma + 0.5) + 1  # cut at four sigma
    smooth = cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)
    return cv2.resize(smooth, (64, 64), interpolation=cv2.INTER_LINEAR)


def features(grey: NDArray[np.uint8], vv: NDArray[np.float32], vh: NDArray[np.float32]) -> NDArray[np.float32]:
    """The four features of a date from its smoothed bands and the grey levels of VV."""
    equalised = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    across = cv2.Sobel(equalised, cv2.CV_32F, 1, 0, ksize=3)
    down = cv2.Sobel(equalised, cv2.CV_32F, 0, 1, ksize=3)
    return np.stack([vv, vh, equalised.astype(np.float32), cv2.magnitude(across, down)])


def statistics(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean, standard deviation and last - first over the dates: ``[T, 4, ...]`` to ``[12, ...]``."""
    return np.concatenate([np.mean(frames, axis=0), np.std(frames, axis=0), frames[-1] - frames[0]])


def original(place: NDArray[np.floating]) -> NDArray[np.float32]:
    """Recipe `original`: ``[dates, 2, H, W]`` dB to ``[12, 64, 64]``."""
    dates = []
    for vv, vh in place.astype(np.float32):
        vv_smooth, vh_smooth = (cv2.bilateralFilter(band, 9, 75, 75) for band in (vv, vh))
        grey = cv2.normalize(vv_smooth, np.empty_like(vv), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
        dates.append(features(grey, vv_smooth, vh_smooth))
    return resized(statistics(np.stack(dates)))


def sar(place: NDArray[np.floating], sigma_range: float) -> NDArray[np.float32]:
    """Recipe `sar` of a place where every pixel holds data."""
    dates = []
    for vv, vh in place.astype(np.float32):
        vv_smooth, vh_smooth = (cv2.bilateralFilter(band, 9, sigma_range, 3) for band in (vv, vh))
        grey = np.clip(np.rint((vv_smooth + 30) * (255 / 35)), 0, 255).astype(np.uint8)
        dates.append(resized(features(grey, vv_smooth, vh_smooth)))
    return statistics(np.stack(dates))


def open_bands(store: Path) -> Any:
    """The variable ``bands`` of a zipped store, for reading place by place: ``bands[i]``."""
    import zarr  # here, as a machine for training need not have it

    return zarr.open_group(zarr.storage.ZipStore(store, mode="r"), mode="r")["bands"]
