"""What a form is: a code of so many bytes a place, and vectors from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sarpipe.codes import Code
from sarpipe.errors import DataError

FEWEST = 128
"""Places from which components, thresholds and codebooks are learnt at least: two for each component of the smallest
form. From fewer they would say more of these places than of others."""

Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Form(ABC):
    """A form that has learnt what it needs; its fields are all that encode and decode need.

    Attributes:
        element: Type of one number of the code as it stands in a file.
        scaled: Whether four bytes follow it, the scale of the place as float32.
    """

    element: ClassVar[np.dtype[Any]]
    scaled: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Self:
        """Learn from ``float32 [N, D]``. The same vectors in the same order give the same bytes on one machine.

        Raises:
            DataError: A number is not finite, or there are fewer than `FEWEST` vectors and it has something to learn.
        """

    @abstractmethod
    def encode(self, vectors: NDArray[np.float32]) -> Codes:
        """``float32 [N, D]`` to ``uint8 [N, bytes a place]``.

        Raises:
            DataError: A number is not finite, or the vectors have another dimension than those it has learnt from.
        """

    @abstractmethod
    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """``uint8 [N, bytes a place]`` to ``float32 [N, D]``."""

    @abstractmethod
    def check(self, dimensions: int) -> None:
        """Whether what it holds fits together, for vectors of so many dimensions: it may come from a file.

        Raises:
            ValueError: It does not.
        """

    @property
    @abstractmethod
    def bytes_a_place(self) -> int:
        """Exactly; what is stored once is `overhead_bytes`."""

    @property
    def overhead_bytes(self) -> int:
        """Bytes that are stored once, however many places there are: means, components, codebooks."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learnt, by name."""
        return {
            field.name: value for field in fields(self) if isinstance(value := getattr(self, field.name), np.ndarray)
        }


def check_shapes(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compare the shapes of what was learnt with those that they must have.

    Raises:
        ValueError: One differs.
    """
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} is {list(arrays[name].shape)}, needs {list(shape)}")


def checked(vectors: NDArray[np.float32], dimensions: int | None = None) -> NDArray[np.float64]:
    """The vectors as float64.

    Raises:
        DataError: They are not finite, or of another dimension than ``dimensions``.
    """
    if vectors.ndim != 2 or dimensions not in (None, vectors.shape[1]):
        raise DataError(
            f"vectors are {list(vectors.shape)}, need [N, {dimensions or 'D'}]",
            "Give what the form has learnt from",
            code=Code.BAD_TABLE,
        )
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(
            f"vector {bad[0]} is not finite ({len(bad)} in all)", "Check the model that made it", code=Code.NOT_FINITE
        )
    return vectors.astype(np.float64)


def checked_codes(codes: Codes, width: int) -> Codes:
    """The codes, in one piece.

    Raises:
        DataError: They are not ``uint8 [N, width]``.
    """
    if codes.ndim != 2 or codes.shape[1] != width or codes.dtype != np.uint8:
        raise DataError(
            f"codes are {codes.dtype} {list(codes.shape)}, need uint8 [N, {width}]",
            "Give what this form has encoded",
            code=Code.BAD_TABLE,
        )
    return np.ascontiguousarray(codes)


def enough(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """As `checked`, of vectors to learn from.

    Raises:
        DataError: There are fewer than `FEWEST`.
    """
    if len(vectors) < FEWEST:
        raise DataError(
            f"{len(vectors)} places are too few to learn a code from, it takes {FEWEST}",
            "float16 and int8 learn nothing and take any number",
            code=Code.TOO_FEW,
        )
    return checked(vectors)
