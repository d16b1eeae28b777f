"""The versions that results depend on."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import version

_LIBRARIES = ("sarpipe", "numpy", "opencv-python-headless", "torch", "pyarrow")


@cache
def versions_here() -> dict[str, str]:
    """Of Python, of this package and of the libraries that compute, in this process."""
    return {"python": platform.python_version()} | {library: version(library) for library in _LIBRARIES}
