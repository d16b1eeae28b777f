"""``sarpipe neuco``: the benchmark's protocol on a folder of labels; straight, without Prefect."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from sarpipe.embeddings.table import some
from sarpipe.errors import UsageError
from sarpipe.flows.console import Console
from sarpipe.model.device import pick_device
from sarpipe.neuco.document import document, lines, to_csv
from sarpipe.neuco.labels import Task, read_tasks
from sarpipe.neuco.score import missing, score
from sarpipe.neuco.vectors import check, read_vectors
from sarpipe.settings import Settings
from sarpipe.stages.search import made_last
from sarpipe.storage import address
from sarpipe.storage.artefact import verify_part
from sarpipe.storage.durable import write_out


def run_neuco(options: Namespace, settings: Settings) -> int:
    """Do what the command line asks for; its exit code."""
    tasks = read_tasks(Path(options.labels))
    out = None if options.out is None else _out(Path(options.out))
    if options.check:
        return _check(options, _embeddings(options, settings, "embeddings.csv"), tasks)
    path = _embeddings(options, settings, "embeddings.parquet")
    vectors = read_vectors(path)
    with Console() as console:
        scores = score(
            tasks,
            vectors,
            pick_device(settings.device),
            lambda done, total, what: console.progress("neuco", done, total, what),
        )
    without = missing(tasks, vectors)
    said = document(options.labels, address(path), tasks, without, scores)
    text = [*lines(said), *_left_out(said["skipped"], without)]
    print("\n".join(text), file=sys.stderr)
    if out is not None:
        content = to_csv(said) if out.suffix == ".csv" else json.dumps(said, indent=2) + "\n"
        write_out(out, lambda file: file.write_text(content, encoding="utf-8"))
        print(f"  results  {out}", file=sys.stderr)
    if options.json:
        print(json.dumps({"status": "completed", **said}))
    return 3 if without else 0


def _embeddings(options: Namespace, settings: Settings, name: str) -> Path:
    if options.embeddings is not None:
        verify_part(Path(options.embeddings))
        return Path(options.embeddings)
    return made_last(settings.data).path(name)


def _out(path: Path) -> Path:
    if path.suffix not in (".csv", ".json"):
        raise UsageError(f"--out {path} is neither .csv nor .json", "For example --out neuco.csv")
    if not path.parent.is_dir():
        raise UsageError(f"--out {path}: {path.parent} is not a folder", "Make it first")
    return path


def _check(options: Namespace, path: Path, tasks: list[Task]) -> int:
    problems = check(path, {place for task in tasks for place in task.ids})
    if options.json:
        print(json.dumps({"status": "completed", "embeddings": str(path), "problems": problems}))
    for problem in problems:
        print(f"{path}: {problem}", file=sys.stderr)
    if not problems:
        print(f"{path}: keeps the benchmark's rules, for the ids of {len(tasks)} tasks", file=sys.stderr)
    return 3 if problems else 0


def _left_out(skipped: dict[str, int], without: list[str]) -> list[str]:
    found = [f"no label: {count} rows of {name} are skipped" for name, count in skipped.items()]
    return found + ([f"no vector: {len(without)} places with labels are left out: {some(without)}"] if without else [])
