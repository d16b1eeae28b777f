"""Search among many places: exact beside bits that are rescored, in one run on one machine; and how much is missed.

The places are made from real embeddings, as random vectors would be of no use: independent dimensions have no near
places. Each is a point between two of them, plus three tenths of the difference of two others. So clusters and spectrum
of the dimensions are about those of the embeddings, which is said beside the recall on the embeddings themselves.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from machine import described
from numpy.typing import NDArray

from sarpipe.search import Index, binary, directions, exact, sign_bits
from sarpipe.stages.search import find_source, output_folder, read_table
from sarpipe.standard import Standard

K = 10
FACTORS = (1, 4, 10, 40, 100)


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="data", help="output folder with the embeddings to mix")
    parser.add_argument("--places", type=int, default=250_000)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    vectors = read_table(find_source(output_folder(options.data), None)).vectors
    print(f"{described()}; {options.queries} queries, {K} hits each\n")
    print("recall@10 of exact search, by candidates that are rescored:")
    _recall("embeddings", directions(vectors, Standard.of(vectors)), options.queries)
    mix = mixed(vectors, options.places)
    index = Index.of(
        [str(place) for place in range(len(mix))],
        mix,
        np.zeros(len(mix)),
        np.zeros(len(mix)),
        np.full((len(mix), 4), np.datetime64("NaT"), "datetime64[us]"),
    )
    del mix
    _recall("mixed", index.directions[:], options.queries)
    with tempfile.TemporaryDirectory() as folder:
        index.write(Path(folder))
        start = time.perf_counter()
        kept = Index.read(Path(folder))
        print(f"\nopening the index without its checksums: {time.perf_counter() - start:.3f} s")
        rows = np.random.default_rng(1).choice(len(kept), options.queries, replace=False)
        times: dict[str, list[float]] = {
            "exact, in memory": [],
            "exact, from the file": [],
            "binary, from the file": [],
        }
        for row in rows[:20]:
            query = kept.directions[row : row + 1]
            for name, call in {
                "exact, in memory": lambda query=query: exact(index.directions, query, K),
                "exact, from the file": lambda query=query: exact(kept.directions, query, K),
                "binary, from the file": lambda query=query: binary(kept.directions, kept.bits, query, K),
            }.items():
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
    for name, seconds in times.items():
        ratios = [one / two for one, two in zip(seconds, times["binary, from the file"], strict=True)]
        print(
            f"  {name:<22} {median(seconds) * 1e3:8.1f} ms ({min(seconds) * 1e3:.1f}-{max(seconds) * 1e3:.1f})"
            f"   {median(ratios):5.1f} times the last"
        )
    return 0


def mixed(vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """``count`` vectors between two of these, plus some of the difference of two others."""
    rng = np.random.default_rng(0)
    made = np.empty((count, vectors.shape[1]), np.float32)
    for start in range(0, count, 8192):
        part = made[start : start + 8192]
        first, second, third, fourth = vectors[rng.integers(0, len(vectors), (4, len(part)))]
        share = rng.random((len(part), 1), np.float32)
        part[:] = (1 - share) * first + share * second + 0.3 * (third - fourth)
    return made


def _recall(name: str, gallery: NDArray[np.float32], queries: int) -> None:
    rows = np.random.default_rng(0).choice(len(gallery), min(queries, len(gallery)), replace=False)
    bits = sign_bits(gallery)
    missed: dict[int, list[float]] = {factor: [] for factor in FACTORS}
    for row in rows:
        others = np.arange(len(gallery)) != row
        query = gallery[row : row + 1]
        wanted = exact(gallery, query, K, others)[0][0]
        for factor in FACTORS:
            found = binary(gallery, bits, query, K, others, candidates=factor * K)[0][0]
            missed[factor].append(float(np.isin(wanted, found).mean()))
    said = ", ".join(f"{factor} k: {np.mean(recall):.4f}" for factor, recall in missed.items())
    print(f"  {name}, {len(gallery):,} places: {said}")


if __name__ == "__main__":
    sys.exit(main())
