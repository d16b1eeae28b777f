from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarpipe.storage import code_version, digest_json, file_sha256, key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


def reversed_keys(value: object) -> object:
    if isinstance(value, dict):
        return {name: reversed_keys(value[name]) for name in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(JSON)
def test_digest_does_not_depend_on_the_order_of_keys_and_survives_json(value: object) -> None:
    assert digest_json(reversed_keys(value)) == digest_json(value) == digest_json(json.loads(json.dumps(value)))


@settings(deadline=None)
@given(JSON, JSON)
def test_values_of_different_json_have_different_digests(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (digest_json(one) == digest_json(other)) is same


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_digest_refuses_what_json_cannot_say(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_json({"settings": [1.0, {"loss": number}]})


def test_file_sha256_is_the_checksum_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(range(256)) * 1000)
    first = file_sha256(path)
    os.utime(path, (0, 0))

    assert file_sha256(path) == first == hashlib.sha256(path.read_bytes()).hexdigest()


CODE = '''
"""A module."""

from math import sqrt

LIMIT = 3
"""Said of the limit."""


class Radar:
    """A class."""

    looks: float = 4.4


def amplitude(power: float) -> float:
    """A function."""
    # A comment.
    return sqrt(power) if power > LIMIT else 0.0


def nothing() -> None:
    """Only said."""
'''

SAME = {
    "module docstring": lambda code: code.replace('"""A module."""', ""),
    "other docstrings": lambda code: code.replace('"""A class."""', '"""Other\n\n    words."""').replace("Only", "x"),
    "docstring of a constant": lambda code: code.replace('"""Said of the limit."""', ""),
    "comment": lambda code: code.replace("# A comment.", "# Another: = + 'x'"),
    "blank lines and spaces": lambda code: code.replace("\n\n", "\n\n\n\n").replace("sqrt(power)", "sqrt( power )"),
    "quotes and brackets": lambda code: code.replace("else 0.0", "else (0.0)"),
}
OTHER = {
    "number": lambda code: code.replace("LIMIT = 3", "LIMIT = 4"),
    "operator": lambda code: code.replace("power > LIMIT", "power >= LIMIT"),
    "attribute": lambda code: code.replace("4.4", "4.5"),
    "text that is used": lambda code: code.replace("return sqrt", 'print("x"); return sqrt'),
    "order": lambda code: code.replace(
        "sqrt(power) if power > LIMIT else 0.0", "0.0 if power > LIMIT else sqrt(power)"
    ),
    "name": lambda code: code.replace("amplitude", "root"),
}


@pytest.fixture
def version_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """The version of the parts ``channels.py`` and ``radar`` of a package whose only code is what is given."""
    package = tmp_path / "package"
    monkeypatch.setattr(key, "PACKAGE", package)

    def version(code: str, file: str = "radar/looks.py") -> str:
        shutil.rmtree(package, ignore_errors=True)
        (package / "radar").mkdir(parents=True)
        (package / "channels.py").write_text("N = 12\n")
        (package / "unrelated.py").write_text("N = 12\n")
        (package / file).write_text(code, encoding="utf-8")
        code_version.cache_clear()
        return code_version(("channels.py", "radar"))

    yield version
    code_version.cache_clear()


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME.keys())
def test_comments_docstrings_and_layout_keep_the_version(
    version_of: Callable[..., str], edit: Callable[[str], str]
) -> None:
    assert edit(CODE) != CODE
    assert version_of(edit(CODE)) == version_of(CODE)


@pytest.mark.parametrize("edit", OTHER.values(), ids=OTHER.keys())
def test_code_changes_the_version(version_of: Callable[..., str], edit: Callable[[str], str]) -> None:
    assert edit(CODE) != CODE
    assert version_of(edit(CODE)) != version_of(CODE)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(st.characters(exclude_characters='\\"', exclude_categories=("C", "Zl", "Zp"))))
def test_no_comment_or_docstring_changes_the_version(version_of: Callable[..., str], text: str) -> None:
    assert version_of(CODE.replace("A comment.", text).replace("A function.", text)) == version_of(CODE)


def test_only_the_named_parts_count_and_all_of_them(version_of: Callable[..., str]) -> None:
    before = version_of(CODE)
    assert version_of(CODE, "radar/other.py") != before

    for name, counts in (("unrelated.py", False), ("channels.py", True), ("radar/more.py", True)):
        assert version_of(CODE) == before
        (key.PACKAGE / name).write_text("N = 13\n")
        code_version.cache_clear()
        assert (code_version(("channels.py", "radar")) != before) is counts


def test_a_part_that_does_not_exist_is_an_error(version_of: Callable[..., str]) -> None:
    version_of(CODE)
    with pytest.raises(FileNotFoundError, match="no code"):
        code_version(("not_there",))


def test_code_is_read_while_another_thread_parses_too(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_version(("storage",))
    parse, said = ast.parse, iter(range(3))

    def disturbed(source: str) -> ast.Module:
        # As Python 3.11 does, where Prefect parses a flow's file in a thread of its own.
        if next(said, None) is not None:
            raise SystemError("AST constructor recursion depth mismatch (before=57, after=72)")
        return parse(source)

    monkeypatch.setattr(ast, "parse", disturbed)
    code_version.cache_clear()
    assert code_version(("storage",)) == before
