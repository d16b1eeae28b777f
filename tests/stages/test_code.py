import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sarpipe.stages import cube_set, cubes_parquet, embed, evaluate, preprocess, quantize, report, search, study, train

PACKAGE = Path(__file__).resolve().parent.parent.parent / "sarpipe"
# What carries a step but does not shape its bytes; settings come into the key by their values. Of the codes of errors
# only the names go into units and sets, and those stay as they are; the page shows what helps.
PLUMBING = {"__init__.py", "codes.py", "errors.py", "settings.py", "stages/step.py", "stages/__init__.py"}


def imported(path: Path) -> set[Path]:
    """The modules of the package that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
    found = set()
    for name in names:
        if name.startswith("sarpipe"):
            stem = PACKAGE.joinpath(*name.split(".")[1:])
            found |= {path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()}
    return found


def is_plumbing(path: Path) -> bool:
    name = path.relative_to(PACKAGE).as_posix()
    return name in PLUMBING or name.startswith("storage/")


def within(path: Path, parts: Iterator[str]) -> set[str]:
    """The parts, files or folders, that a module is or lies in."""
    return {part for part in parts if path.is_relative_to(PACKAGE / part)}


def closure(start: Path, elsewhere: Mapping[str, str]) -> tuple[set[Path], set[str]]:
    """The modules that a start comes to, but for those ``elsewhere`` and what only these come to; and which of
    ``elsewhere`` it comes to.
    """
    seen: set[Path] = set()
    met: set[str] = set()
    todo = [start]
    while todo:
        path = todo.pop()
        if path in seen or is_plumbing(path):
            continue
        found = within(path, iter(elsewhere))
        met |= found
        if not found:
            seen.add(path)
            todo.extend(imported(path))
    return seen, met


UNITS = "it makes units, whose digests are in the key: a set takes the schema of their index"
NAMES = "it reads cubes: a set takes the names of two columns of the module that imports it"
TRAINS = "it trains: the digest of the model is in the key, or the code of the training below"
RESULTS = "what it gives stands in the study, and all of that is in the key of its page"
ELSEWHERE: dict[str, dict[str, str]] = {
    "set": {
        **dict.fromkeys(("channels.py", "ssl4eo", "stages/preprocess.py"), UNITS),
        **{f"preprocess/{name}.py": UNITS for name in ("place", "quality", "recipe", "rows", "truth")},
        **dict.fromkeys(("cubes.py", "memory.py"), NAMES),
        "stages/quarantine.py": "it writes the list beside the set, which says where that is",
    },
    "scores": {
        **dict.fromkeys(("stages/train.py", "train", "study/as_written.py", "study/supervised.py"), TRAINS),
        "study/choices.py": "it says which trainings there are, and each has scores of its own",
        "study/document.py": "it puts scores together that are there",
    },
    "as_written": {
        "train/settings.py": "those that it uses are in the key by their values",
        "train/trouble.py": "it says what to do where memory does not suffice",
    },
    "study": {
        "evaluate/score.py": RESULTS,
        "train/settings.py": RESULTS,
    },
}
"""What a start comes to and its key need not hold, with why."""


@pytest.mark.parametrize(
    ("start", "code"),
    [
        ("preprocess/unit.py", preprocess.CODE),
        ("cubes_parquet.py", cubes_parquet.CODE),
        ("stages/train.py", train.CODE),
        ("stages/embed.py", embed.CODE),
        ("stages/evaluate.py", evaluate.CODE),
        ("stages/report.py", report.CODE),
        ("stages/quantize.py", quantize.CODE),
        ("search/index.py", search.CODE),
    ],
)
def test_the_key_of_a_stage_covers_all_code_that_it_runs(start: str, code: tuple[str, ...]) -> None:
    assert uncovered(start, code, {}) == []


def uncovered(start: str, code: tuple[str, ...], elsewhere: Mapping[str, str]) -> list[str]:
    """The modules that a start comes to and its key does not hold."""
    found, met = closure(PACKAGE / start, elsewhere)
    # An exception that nothing needs any more would hide what comes there later.
    assert met == elsewhere.keys()
    return sorted(path.relative_to(PACKAGE).as_posix() for path in found if not within(path, iter(code)))


@pytest.mark.parametrize(
    ("what", "start", "code"),
    [
        ("set", "stages/cube_set.py", cube_set.CODE),
        ("scores", "stages/study.py", study.RESULTS_CODE),
        ("as_written", "study/as_written.py", study.RESULTS_CODE + study.AS_WRITTEN_CODE),
        ("supervised", "study/supervised.py", study.RESULTS_CODE + study.SUPERVISED_CODE),
        ("study", "study/document.py", study.CODE),
    ],
)
def test_the_key_covers_all_code_but_what_is_in_it_otherwise(what: str, start: str, code: tuple[str, ...]) -> None:
    assert uncovered(start, code, ELSEWHERE.get(what, {})) == []


def test_the_key_of_the_page_covers_the_words_on_it() -> None:
    assert {"codes.py", "quarantine.py"} <= set(report.CODE)


def test_the_key_of_a_set_covers_the_code_that_makes_it() -> None:
    assert {"stages/cube_set.py", "stages/places.py", "preprocess/unit.py"} <= set(cube_set.CODE)
