"""Every error has a code, and every code is documented and used."""

from __future__ import annotations

import ast
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from sarpipe import errors
from sarpipe.codes import Code, helps
from sarpipe.errors import DamagedError, DataError, RemoteError, SarpipeError, StorageError, UsageError, code_of

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for layer in ("sarpipe", "tasks", "flows") for path in (ROOT / layer).rglob("*.py"))
CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SarpipeError)]


def test_the_table_in_the_documents_is_the_list() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text().split("## Codes of errors")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) \| (.*?) \|$", text, flags=re.MULTILINE)
    assert rows == [(code.value, code.meaning, code.helps) for code in Code]


def test_a_code_is_a_short_word_that_stands_in_any_cell_and_label() -> None:
    for code in Code:
        assert re.fullmatch(r"[a-z]+(-[a-z]+){0,2}", code)
        assert code.name == code.value.upper().replace("-", "_")
        assert not re.search(r"[|\n]", code.meaning + code.helps)
    assert json.loads(json.dumps({"code": Code.NO_DATA})) == {"code": "no-data"}


def test_every_code_is_used() -> None:
    used = {
        name for path in SOURCES if path.name != "codes.py" for name in re.findall(r"Code\.(\w+)", path.read_text())
    }
    assert {code.name for code in Code} == used


def calls_without_code(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            # These two have none of their own.
            and node.func.id in ("DataError", "SarpipeError")
            and "code" not in {keyword.arg for keyword in node.keywords}
        ):
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_no_error_goes_without_a_code() -> None:
    assert [where for path in SOURCES for where in calls_without_code(path)] == []


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_comes_from_another_process_as_it_was(kind: type[SarpipeError], dumps: object) -> None:
    assert callable(dumps)
    for error in (kind("what", "hint", code=Code.DISK_FULL), kind("what", code=Code.CODEC)):
        error.add_note("on its way")
        again = pickle.loads(dumps(error))
        assert type(again) is kind
        assert (again.message, again.hint, str(again)) == (error.message, error.hint, str(error))
        assert again.code is error.code
        assert again.__notes__ == ["on its way"]


def test_a_class_has_the_code_that_fits_most_of_its_errors() -> None:
    assert [error("it").code for error in (UsageError, DamagedError, StorageError, RemoteError)] == [
        Code.USAGE,
        Code.DAMAGED,
        Code.IO,
        Code.REMOTE,
    ]


def test_an_error_that_prefect_has_kept_as_words_can_be_made_again() -> None:
    kind: type[SarpipeError] = DataError
    assert str(kind("what. hint")) == "what. hint"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), Code.MEMORY),
        (TimeoutError("too long"), Code.IO),
        (OSError("the disk"), Code.IO),
        (ValueError("a defect"), Code.DEFECT),
        (KeyboardInterrupt(), Code.INTERRUPTED),
        (DataError("it", code=Code.CODEC), Code.CODEC),
    ],
)
def test_every_error_has_a_code(error: BaseException, code: Code) -> None:
    assert code_of(error) is code


def test_a_code_of_another_version_has_help_too() -> None:
    assert helps("checksum") == Code.CHECKSUM.helps
    assert "sarpipe preprocess" in helps("of-tomorrow") == helps("")
