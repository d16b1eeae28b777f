"""The vectors that each method gives to the same places."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import FEATURES
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
        query, gallery: For each method the vectors of ``paired``, from dates 0 and 2, and from dates 1 and 3.
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
) -> Encoded:
    """Give every method the same cubes.

    Args:
        cubes: The places.
        methods: By name.
        progress: Called with a line of text now and then.
        may_not_know: Methods that give NaN for a channel without data. It becomes the mean of its dimension over
            ``whole`` (0 where no place knows it), which is 0 after any standardisation, as an encoder has it.

    Raises:
        DataError: A method gives numbers that are not finite, or not one vector for each cube.
    """
    n = len(cubes.ids)
    places, paired = [], []
    parts: dict[str, dict[str, list[NDArray[np.float32]]]] = {view: {name: [] for name in methods} for view in _VIEWS}
    for start in range(0, n, _BATCH):
        rows = np.arange(start, min(start + _BATCH, n))
        progress(f"encoding places {start + 1} to {rows[-1] + 1} of {n}")
        images, frames = cubes.cubes[rows], cubes.frames[rows]
        query, gallery = (statistics(frames[:, list(dates)]) for dates in (QUERY_DATES, GALLERY_DATES))
        there = with_data(images)
        pairs = (query, gallery, corner(query, last=False), corner(gallery, last=True))
        both = np.logical_and.reduce([there, *map(with_data, pairs)])
        places.append(rows[there])
        paired.append(rows[both])
        views = ((images, there), *((pair, both) for pair in pairs))
        for view, (batch, kept) in zip(_VIEWS, views, strict=True):
            if kept.any():
                ids = [cubes.ids[i] for i in rows[kept]]
                for name, encode in methods.items():
                    parts[view][name].append(_encode(name, encode, batch[kept], ids, name in may_not_know))
    vectors = {view: {name: _join(of) for name, of in by_name.items()} for view, by_name in parts.items()}
    for name in may_not_know:
        mean = known_mean(vectors["whole"][name])
        for by_name in vectors.values():
            by_name[name] = (
                np.where(np.isnan(by_name[name]), mean, by_name[name]) if len(by_name[name]) else by_name[name]
            )
    return Encoded(_rows(places), _rows(paired), **vectors)


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
