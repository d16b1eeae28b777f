"""Keys: what an artefact was made from, as one hash. No clock, no mtime, no machine."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
PARSES = 20
_PARSING = Lock()


def digest_json(value: Any) -> str:
    """SHA-256 (64 hex digits) of a JSON-able value, whatever the order of its keys.

    Raises:
        ValueError: The value holds NaN or infinity, which JSON cannot say.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_version(parts: tuple[str, ...]) -> str:
    """Hash (12 hex digits) of what the named parts of the package do.

    A change of code gives a new version, and so a new key: a stage is never reused after the code that
    made it has changed, and nobody has to remember to raise a number. Comments, docstrings and layout of Python
    do not count.

    Args:
        parts: Paths below ``sarpipe/``: files (``"channels.py"``) or folders (``"preprocess"``).
    """
    # One thread at a time: see `_parsed`.
    with _PARSING:
        sources = {
            str(path.relative_to(PACKAGE)): _normalised(path) for part in parts for path in _files(PACKAGE / part)
        }
    return digest_json(sources)[:12]


def _files(path: Path) -> Sequence[Path]:
    if path.is_file():
        return [path]
    found = sorted(file for kind in ("*.py", "*.c", "*.js", "*.css", "*.json") for file in path.rglob(kind))
    if not found:
        raise FileNotFoundError(f"no code at {path}")
    return found


def _normalised(path: Path) -> str:
    if path.suffix != ".py":
        return path.read_text(encoding="utf-8")
    tree = _parsed(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [line for line in node.body if not _is_docstring(line)] or [ast.Pass()]
    return ast.unparse(tree)


def _parsed(source: str) -> ast.Module:
    # Python 3.11's parser counts its recursion for all threads together, and says so where another one parses meanwhile
    # (cpython 106905). Prefect's do, which know nothing of our lock: each attempt counts anew.
    for _ in range(PARSES - 1):
        try:
            return ast.parse(source)
        except SystemError:
            pass
    return ast.parse(source)


def _is_docstring(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
