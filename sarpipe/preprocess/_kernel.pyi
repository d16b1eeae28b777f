from typing import Any

from numpy.typing import NDArray

SOURCE_SHA256: str

def widen(half: NDArray[Any], out: NDArray[Any], /) -> bool: ...
def narrow(values: NDArray[Any], out: NDArray[Any], /) -> None: ...
def mask(db: NDArray[Any], valid: NDArray[Any], floor_db: float, n: int, /) -> int: ...
def quantise(db: NDArray[Any], low: float, high: float, out: NDArray[Any], /) -> None: ...
def bilateral(
    image: NDArray[Any],
    valid: NDArray[Any] | None,
    out: NDArray[Any],
    height: int,
    width: int,
    radius: int,
    sigma_range: float,
    sigma_space: float,
    /,
) -> None: ...
def bilateral_wide(
    image: NDArray[Any],
    out: NDArray[Any],
    height: int,
    width: int,
    sigma_range: float,
    sigma_space: float,
    tolerance: float,
    /,
) -> bool: ...
def clahe(
    image: NDArray[Any], valid: NDArray[Any] | None, out: NDArray[Any], height: int, width: int, clip_limit: float, /
) -> None: ...
def sobel(image: NDArray[Any], valid: NDArray[Any] | None, out: NDArray[Any], height: int, width: int, /) -> None: ...
def resample(
    images: NDArray[Any],
    out: NDArray[Any],
    n: int,
    height: int,
    width: int,
    down_start: NDArray[Any],
    down_weights: NDArray[Any],
    across_start: NDArray[Any],
    across_weights: NDArray[Any],
    /,
) -> None: ...
def statistics(frames: NDArray[Any], out: NDArray[Any], dates: int, n: int, /) -> None: ...
def deviation(frames: NDArray[Any], out: NDArray[Any], dates: int, n: int, /) -> None: ...
