import ast
from pathlib import Path

import pytest

from sarpipe.stages import cube_set, cubes_parquet, embed, evaluate, preprocess, quantize, report, search, train

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


def closure(start: Path) -> set[Path]:
    seen, todo = set(), [start]
    while todo:
        path = todo.pop()
        if path not in seen and not is_plumbing(path):
            seen.add(path)
            todo.extend(imported(path))
    return seen


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
    parts = [PACKAGE / part for part in code]
    uncovered = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(closure(PACKAGE / start))
        if not any(path == part or path.is_relative_to(part) for part in parts)
    ]
    assert uncovered == []


def test_the_key_of_the_page_covers_the_words_on_it() -> None:
    assert {"codes.py", "quarantine.py"} <= set(report.CODE)


def test_the_key_of_a_set_covers_the_code_that_makes_it() -> None:
    assert {"stages/cube_set.py", "stages/places.py", "preprocess/unit.py"} <= set(cube_set.CODE)
