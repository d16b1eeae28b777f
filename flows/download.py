"""``sarpipe download``: the plan is shown, the files are fetched, and what came of it is said."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console as RichConsole
from rich.filesize import decimal

from sarpipe.download import Outcome, Plan, fetch, make_plan, select
from sarpipe.download.dataset import CITATION, LICENCE, NAME
from sarpipe.flows.console import Console

_NAMED = 10
"""So many files are named on the screen; JSON names all."""


def run_download(options: Namespace) -> int:
    """Do what the command line asks for; its exit code."""
    selection = select(options.layout, options.split, options.stores, options.first)
    screen = RichConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with Console() as console:
        plan = make_plan(Path(options.out).expanduser(), selection, console.progress, revision=options.revision)
    for line in _plan_lines(plan):
        screen.print(line)
    if options.dry_run:
        screen.print("nothing was fetched (--dry-run)")
        if options.json:
            print(json.dumps({"status": "planned", **_plan_json(plan)}))
        return 0
    with Console() as console:
        outcome = fetch(plan, console.progress, jobs=options.jobs)
    for line in _outcome_lines(plan, outcome):
        screen.print(line)
    if options.json:
        print(json.dumps({"status": "completed", **_plan_json(plan), **_outcome_json(outcome)}))
    return 3 if outcome.failed else 0


def _plan_lines(plan: Plan) -> Iterator[str]:
    yield f"{NAME} ({LICENCE}, {CITATION})"
    yield f"from {plan.layout.repository} at {plan.commit[:12]}, into {', '.join(map(str, plan.folders))}"
    total = sum(step.file.bytes for step in plan.steps)
    yield (
        f"{len(plan.steps)} files, {decimal(total)}: {plan.count('there')} are there and right, "
        f"{len(plan.steps) - plan.count('there')} to fetch ({decimal(plan.to_fetch)})"
    )
    differ = [step for step in plan.steps if step.state == "differs"]
    for step in differ[:_NAMED]:
        yield f"differs, to be replaced: {step.target}"
    if len(differ) > _NAMED:
        yield f"differ, to be replaced: {len(differ) - _NAMED} more"


def _outcome_lines(plan: Plan, outcome: Outcome) -> Iterator[str]:
    yield (
        f"{len(outcome.fetched)} files fetched ({decimal(outcome.received)} received), {len(outcome.replaced)} of them "
        f"in place of a wrong one; {len(outcome.kept)} were there; every SHA-256 is right"
    )
    for _, error in outcome.failed[:_NAMED]:
        yield f"not fetched: {error} [{error.code}]"
    if len(outcome.failed) > _NAMED:
        yield f"not fetched: {len(outcome.failed) - _NAMED} more"
    for folder in plan.folders:
        yield f"Next: sarpipe run {folder}"


def _plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "repository": plan.layout.repository,
        "commit": plan.commit,
        "licence": LICENCE,
        "folders": [str(folder) for folder in plan.folders],
        "bytes_to_fetch": plan.to_fetch,
        "files": [
            {
                "path": str(step.target),
                "bytes": step.file.bytes,
                "sha256": step.file.sha256,
                "was": step.state,
                "bytes_there": step.file.bytes - step.to_fetch,
            }
            for step in plan.steps
        ],
    }


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "kept": len(outcome.kept),
        "fetched": len(outcome.fetched),
        "replaced": len(outcome.replaced),
        "failed": [{"file": file.path, "code": error.code, "reason": error.message} for file, error in outcome.failed],
        "bytes_received": outcome.received,
    }
