"""The vectors that each method gives to the same places."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import FEATURES, POLARISATIONS
from sarpipe.codes import Code
from sarpipe.cubes import CubeSet
from sarpipe.errors import DataError
from sarpipe.evaluate.retrieval import GALLERY_DATES, QUERY_DATES
from sarpipe.evaluate.window import corner
from sarpipe.preprocess.temporal import statistics

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Cubes ``[n, 12, 64, 64]`` (NaN where there is no data) to vectors ``[n, D]``, each row from its own cube alone."""

_MEANS = slice(0, len(FEATURES))
"""Channels that a single date gives."""

_VIEWS = ("whole", "query", "gallery", "query_corner", "gallery_corner")

_SEED = ", seed "

_BANDS = len(POLARISATIONS)
"""The first features of a date are what the radar measured; the others are made from them."""

_BATCH = 256
"""Places of which the cubes of both halves of the dates and their windows are in memory at a time: 200 MB."""


@dataclass(frozen=True)
class Encoded:
    """Vectors of the places that have data: every mean over the dates is known somewhere.

    Deviation and difference need two dates. Where they are not known they are NaN in the cubes, for all methods alike.

    Attributes:
        places: Rows of the `CubeSet` that have data.
        paired: Those of them that have data in either half of the dates too, and in a corner of it.
        whole: For each method the vectors of ``places``, ``[len(places), D]``.
        query, gallery: For each method the vectors of ``paired``, from dates 0 and 2, and from dates 1 and 3. Those of
            single dates are of the first and the second of them, so half as wide.
        query_corner, gallery_corner: The same of opposite corners, see `sarpipe.evaluate.window.corner`.
    """

    places: NDArray[np.intp]
    paired: NDArray[np.intp]
    whole: Mapping[str, NDArray[np.float32]]
    query: Mapping[str, NDArray[np.float32]]
    gallery: Mapping[str, NDArray[np.float32]]
    query_corner: Mapping[str, NDArray[np.float32]]
    gallery_corner: Mapping[str, NDArray[np.float32]]

    def only(self, chosen: NDArray[np.bool_]) -> Encoded:
        """Of these places alone; ``bool [N]`` of all rows of the `CubeSet`."""
        of_places, of_paired = chosen[self.places], chosen[self.paired]
        rows = dict.fromkeys(_VIEWS, of_paired) | {"whole": of_places}
        views = {
            view: {
                name: vectors[rows[view]] if len(vectors) else vectors for name, vectors in getattr(self, view).items()
            }
            for view in _VIEWS
        }
        return Encoded(self.places[of_places], self.paired[of_paired], **views)


def seeded(name: str, seed: int) -> str:
    """What the vectors of a method are called that were drawn from another seed than the first."""
    return f"{name}{_SEED}{seed}" if seed else name


def of_seed(vectors: Mapping[str, NDArray[np.float32]], name: str, seed: int) -> NDArray[np.float32]:
    """The vectors of a method as drawn from this seed; those of the first where it draws nothing."""
    return vectors.get(seeded(name, seed), vectors[name])


def without_seeds(names: Iterable[str]) -> list[str]:
    """The methods, each once."""
    return [name for name in names if _SEED not in name]


def encode_all(
    cubes: CubeSet,
    methods: Mapping[str, Encode],
    progress: Callable[[str], None],
    *,
    may_not_know: Collection[str] = (),
    of_bands: Mapping[str, Encode] = MappingProxyType({}),
) -> Encoded:
    """Give every method the same places, windows and dates.

    Args:
        cubes: The places.
        methods: By name.
        progress: Called with a line of text now and then.
        may_not_know: Methods that give NaN for a channel without data. It becomes the mean of its dimension over
            ``whole`` (0 where no place knows it), which is 0 after any standardisation, as an encoder has it. Of
            methods of single dates it is the mean over the two halves of the dates, where these are compared.
        of_bands: Methods that are given VV and VH of each date, ``float32 [n, 2 T, 64, 64]``, in place of the cubes.

    Raises:
        DataError: A method gives numbers that are not finite, or not one vector for each cube.
    """
    n = len(cubes.ids)
    places, paired = [], []
    every = {**methods, **of_bands}
    parts: dict[str, dict[str, list[NDArray[np.float32]]]] = {view: {name: [] for name in every} for view in _VIEWS}
    for start in range(0, n, _BATCH):
        rows = np.arange(start, min(start + _BATCH, n))
        progress(f"encoding places {start + 1} to {rows[-1] + 1} of {n}")
        images, frames = cubes.cubes[rows], cubes.frames[rows]
        halves = [frames[:, list(dates)] for dates in (QUERY_DATES, GALLERY_DATES)]
        views = _views(images, *map(statistics, halves))
        there = with_data(images)
        both = np.logical_and.reduce([there, *map(with_data, views[1:])])
        places.append(rows[there])
        paired.append(rows[both])
        bands = _views(*map(_bands, (frames, *halves))) if of_bands else views
        for view, batch, of_dates in zip(_VIEWS, views, bands, strict=True):
            kept = there if view == "whole" else both
            if kept.any():
                ids = [cubes.ids[i] for i in rows[kept]]
                for name, encode in every.items():
                    given = of_dates if name in of_bands else batch
                    parts[view][name].append(_encode(name, encode, given[kept], ids, name in may_not_know))
    vectors = {view: {name: _join(of) for name, of in by_name.items()} for view, by_name in parts.items()}
    for name in may_not_know:
        _fill_with_mean(name, vectors)
    return Encoded(_rows(places), _rows(paired), **vectors)


def _views(
    whole: NDArray[np.float32], query: NDArray[np.float32], gallery: NDArray[np.float32]
) -> tuple[NDArray[np.float32], ...]:
    """In the order of `_VIEWS`."""
    return whole, query, gallery, corner(query, last=False), corner(gallery, last=True)


def _bands(frames: NDArray[np.float16]) -> NDArray[np.float32]:
    """VV and VH of each date: frames ``[n, T, 4, 64, 64]`` to ``[n, 2 T, 64, 64]``."""
    n, dates, _, height, width = frames.shape
    return frames[:, :, :_BANDS].reshape(n, _BANDS * dates, height, width).astype(np.float32)


def _fill_with_mean(name: str, vectors: dict[str, dict[str, NDArray[np.float32]]]) -> None:
    """Put the mean of the dimension where this method gave NaN."""
    whole = vectors["whole"][name]
    for compared in (("whole",), ("query", "gallery"), ("query_corner", "gallery_corner")):
        found = [vectors[view][name] for view in compared]
        if len(found[0]):
            same = found[0].shape[1] == whole.shape[1]
            mean = known_mean(whole if same else np.concatenate(found))
            for view, values in zip(compared, found, strict=True):
                vectors[view][name] = np.where(np.isnan(values), mean, values)


def with_data(images: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether every mean over the dates is known somewhere: cubes ``[n, 12, 64, 64]`` to ``[n]``."""
    there: NDArray[np.bool_] = np.isfinite(images[:, _MEANS]).any(axis=(2, 3)).all(axis=1)
    return there


def _encode(
    name: str, encode: Encode, images: NDArray[np.float32], ids: list[str], may_not_know: bool
) -> NDArray[np.float32]:
    vectors = np.asarray(encode(images))
    if vectors.ndim != 2 or len(vectors) != len(images):
        raise DataError(
            f"{name} gives an array {list(vectors.shape)} for {len(images)} cubes",
            "Check the encoder",
            code=Code.BAD_TABLE,
        )
    finite = (~np.isinf(vectors) if may_not_know else np.isfinite(vectors)).all(axis=1)
    if not finite.all():
        bad = [ids[i] for i in np.flatnonzero(~finite)]
        raise DataError(
            f"{name} gives numbers that are not finite for {bad[0]!r} ({len(bad)} in all)",
            "Train again",
            code=Code.NOT_FINITE,
        )
    return vectors


def known_mean(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of each dimension of ``[N, D]`` over those that know it (are not NaN); 0 where none does."""
    known = np.isfinite(vectors)
    total = np.where(known, vectors, 0).sum(axis=0, dtype=np.float64)
    mean: NDArray[np.float32] = (total / np.maximum(known.sum(axis=0), 1)).astype(np.float32)
    return mean


def _join(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def _rows(parts: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    return np.concatenate(parts) if parts else np.empty(0, np.intp)
