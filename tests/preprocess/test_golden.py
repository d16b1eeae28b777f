"""The bytes of a unit are known, for each way of the kernel. To make them anew, after a change that is meant to change
them:

.venv/bin/python tests/preprocess/test_golden.py
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

import sarpipe.preprocess
from sarpipe.preprocess.kernel import kernel
from sarpipe.preprocess.kernel import way as way_of_kernel
from sarpipe.preprocess.recipe import OriginalRecipe, SarRecipe
from sarpipe.preprocess.unit import write_unit
from sarpipe.simulate import simulate

GOLDEN = Path(__file__).with_name("golden_unit.json")
LIBRARIES = ("numpy", "scipy", "opencv-python-headless", "numcodecs", "pyarrow")
DIGITS = 3


def known_of(folder: Path) -> dict[str, dict[str, str | list[float]]]:
    """Of a unit by each recipe: SHA-256 of its arrays, and their means, by which a small drift is told from a large."""
    (store,) = simulate(folder, stores=1, places=1, seed=11)
    known: dict[str, dict[str, str | list[float]]] = {}
    for recipe in (SarRecipe(min_valid=0), OriginalRecipe()):
        unit = folder / recipe.name
        unit.mkdir()
        write_unit(unit, store, recipe, None)
        cubes = np.load(unit / "cubes.npy").astype(np.float64)
        known[recipe.name] = {
            **{name: hashlib.sha256((unit / name).read_bytes()).hexdigest() for name in ("cubes.npy", "frames.npy")},
            "means": [round(float(value), DIGITS) for value in np.nanmean(cubes, axis=(0, 2, 3))],
        }
    return known


def test_the_bytes_of_a_unit_are_known(way: str, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    found, known = known_of(tmp_path), golden["ways"][way]
    for recipe in known:
        np.testing.assert_allclose(found[recipe]["means"], known[recipe]["means"], atol=2 * 10**-DIGITS, rtol=0)
    # Libraries choose their instructions by the processor: on another one the last bits may be others.
    if processor() == golden["processor"]:
        here = {name: version(name) for name in LIBRARIES}
        assert found == known, f"made with {golden['versions']}, here are {here}: a new version changes the cubes"


def processor() -> str:
    """Hash of the instructions that numpy has found here."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:12]


def main() -> None:
    ways = {}
    for way in ("compiled", "numpy"):
        kernel.cache_clear()
        if way == "numpy":
            sys.modules["sarpipe.preprocess._kernel"] = None  # type: ignore[assignment]
            vars(sarpipe.preprocess).pop("_kernel", None)
        print(way, way_of_kernel())
        with tempfile.TemporaryDirectory() as folder:
            ways[way] = known_of(Path(folder))
    versions = {name: version(name) for name in LIBRARIES}
    GOLDEN.write_text(json.dumps({"versions": versions, "processor": processor(), "ways": ways}, indent=1) + "\n")


if __name__ == "__main__":
    main()
