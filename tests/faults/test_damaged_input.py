"""Never silently wrong: a store with any damage gives the unit that it gave, or names what it lacks, or is refused."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sarpipe.codes import Code
from sarpipe.errors import DataError, UsageError, code_of
from sarpipe.settings import resolve
from sarpipe.simulate import simulate
from sarpipe.simulate.place import SimulatedPlace
from sarpipe.stages.preprocess import make_store, plan_preprocess

LAYOUTS = ("zip", "folder", "tar", "group")
SAME, QUARANTINED, REFUSED, WRONG = "same", "quarantined", "refused", "wrong"
FOUND = frozenset(Code) - {Code.DEFECT, Code.DAMAGED, Code.INTERRUPTED}
"""Codes that damage of a source may have."""
WITHOUT_TRUTH, NOT_THERE = "without truth", "not there"
"""Whoever takes a whole file of a folder away has another folder: the truth is then not known, or a place is not there.
A split list names what has to be there."""


@dataclass(frozen=True)
class Unit:
    """What was made of a source: its bytes, by place what they hold, and of those in quarantine the code."""

    files: Mapping[str, bytes]
    places: Mapping[str, tuple[object, ...]]
    named: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> Unit:
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "manifest.json"}
        rows = pq.read_table(folder / "index.parquet").to_pylist()
        cubes, frames = np.load(folder / "cubes.npy"), np.load(folder / "frames.npy")
        truth = {}
        if (folder / "truth.parquet").exists():
            truth = {row["id"]: row for row in pq.read_table(folder / "truth.parquet").to_pylist()}
        places = {
            row["id"]: (repr(row), cubes[i].tobytes(), frames[i].tobytes(), repr(truth.get(row["id"])))
            for i, row in enumerate(rows)
        }
        named = {row["id"]: row["code"] for row in pq.read_table(folder / "quarantine.parquet").to_pylist()}
        return cls(files, places, named)


class Case:
    """One source in one layout, read once by this output folder, whose files can be damaged and mended."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.source = source
        self._data = folder.parent / "data"
        self.settings = resolve(data=self._data)
        self.files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        made = self.make()
        assert isinstance(made, Unit)
        self.whole = made

    def make(self) -> Unit | Exception:
        """What preprocess makes of the source now. What it knows of folders is kept from time to time."""
        shutil.rmtree(self._data / "cubes", ignore_errors=True)
        try:
            (step,) = plan_preprocess(self.settings, self.source)
            if step.state == "refused":
                return step.refusal()
            return Unit.read(Path(make_store(step, self.settings)["folder"]))
        except (DataError, UsageError) as error:
            return error

    @contextmanager
    def damaged(self, path: Path, data: bytes | None) -> Iterator[None]:
        path.unlink()
        if data is not None:
            path.write_bytes(data)
        try:
            yield
        finally:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.files[path])

    def outcome(self, path: Path, data: bytes | None) -> str:
        """How the source ends with these bytes (None: without the file)."""
        with self.damaged(path, data):
            made = self.make()
        if isinstance(made, Exception):
            assert str(made)
            assert "\n" not in str(made)
            assert code_of(made) in FOUND
            return REFUSED
        assert FOUND.issuperset(made.named.values())
        if made.files == self.whole.files:
            return SAME
        if data is None and made.files == {n: b for n, b in self.whole.files.items() if n != "truth.parquet"}:
            return WITHOUT_TRUTH
        lost = self.whole.places.keys() - made.places.keys()
        kept = all(self.whole.places.get(place) == content for place, content in made.places.items())
        if data is None and path.stem.startswith(tuple(lost)) and kept and len(lost) == 1 and not made.named:
            return NOT_THERE
        return QUARANTINED if kept and lost and len(made.named) == len(lost) + len(self.whole.named) else WRONG


@pytest.fixture(scope="module")
def make_case(
    tmp_path_factory: pytest.TempPathFactory,
    simulated_places: list[SimulatedPlace],
    write_place: Callable[..., bytes],
    write_tar: Callable[..., Path],
) -> Callable[[str], Case]:
    made: dict[str, Case] = {}

    def build(layout: str) -> Case:
        folder = tmp_path_factory.mktemp(layout) / "source"
        folder.mkdir()
        places = simulated_places[:2]
        if layout in ("zip", "folder"):
            source = simulate(folder, stores=1, places=2, seed=3, zipped=layout == "zip")[0]
        elif layout == "tar":
            source = write_tar(folder / "s.tar", {f"{place.id}.zarr.zip": write_place(place) for place in places})
        else:
            source = folder
            for place in places:
                (folder / f"{place.id}.zarr.zip").write_bytes(write_place(place, neuco=True))
        return Case(folder, source)

    def case(layout: str) -> Case:
        if layout not in made:
            made[layout] = build(layout)
        return made[layout]

    return case


def flipped(data: bytes, bits: list[int]) -> bytes:
    damaged = bytearray(data)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def damage(data: bytes, random: random.Random) -> bytes | None:
    """The bytes with a bit flipped, mostly; or cut, or longer, or a part of them gone, doubled or zeros; or none."""
    size = len(data)
    start, stop = sorted(random.randrange(size + 1) for _ in range(2)) if size else (0, 0)
    near = min(size, start + 64)
    kinds = {"flip": 12, "flips": 2, "cut": 2, "longer": 1, "zeros": 1, "drop": 1, "twice": 1, "gone": 1}
    (how,) = random.choices(list(kinds), list(kinds.values()))
    if how in ("flip", "flips") and size:
        bits = 1 if how == "flip" else random.randrange(2, 20)
        return flipped(data, [random.randrange(size * 8) for _ in range(bits)])
    return {
        "cut": data[:start],
        "longer": data + random.randbytes(random.randrange(1, 600)),
        "zeros": data[:start] + bytes(near - start) + data[near:],
        "drop": data[:start] + data[stop:],
        "twice": data[:stop] + data[start:],
    }.get(how)


def search(case: Case, tries: int, seed: int) -> Counter[str]:
    """How so many damages end. A file is as likely as any other, and half of those of a large one are at its ends."""
    draws = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(tries):
        path = draws.choice(list(case.files))
        data = case.files[path]
        damaged = damage(data, draws)
        if draws.random() < 0.5 and len(data) > 4000:
            bit = draws.randrange(16_000)
            damaged = flipped(data, [bit if bit < 8000 else 8 * len(data) - 16_000 + bit])
        found = case.outcome(path, damaged)
        assert found != WRONG, f"try {number} of seed {seed}: {path.name}"
        counts[found] += 1
    return counts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_damage_gives_the_same_unit_or_is_named_or_refused(make_case: Callable[[str], Case], layout: str) -> None:
    counts = search(make_case(layout), 60, seed=0)
    assert counts[REFUSED] + counts[QUARANTINED] > 20


@pytest.mark.faults
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(1, 5))
def test_a_large_search_for_damage_that_is_not_seen(make_case: Callable[[str], Case], layout: str, seed: int) -> None:
    print(layout, seed, dict(search(make_case(layout), 1000, seed)))
