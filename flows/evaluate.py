"""Flow evaluate: embeddings and baselines to figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from prefect.artifacts import create_table_artifact

from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes, find_earlier
from sarpipe.stages.evaluate import plan_evaluate
from sarpipe.tasks.artifact import artifact_key
from sarpipe.tasks.evaluate import evaluate_embeddings
from sarpipe.tasks.outcome import flow
from sarpipe.tasks.policy import run_now


@flow(name="evaluate", flow_run_name="evaluate {data}", persist_result=False)
def evaluate(
    data: str = "data",
    recipe: Literal["sar", "original"] | None = None,
    preset: Literal["sar", "original"] | None = None,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
    cubes: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Measure the embeddings beside an untrained encoder and what needs no encoder.

    Args:
        data: All output goes below this folder or URL.
        recipe: Of the cubes: `sar` (default) or `original`.
        preset: Of training: `sar` (default) or `original`.
        config: YAML file of settings.
        overrides: Settings by dotted name.
        cubes: Folder of a set of cubes, instead of the last one.
        force: Measure again although the figures are there.
    """
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    cube_set = find_cubes(settings, cubes)
    model, embeddings = find_earlier(settings, cube_set, "evaluate")
    step = plan_evaluate(settings, cube_set, model, embeddings, force=force)
    receipt = run_now(
        evaluate_embeddings, step, settings, *(str(earlier.folder) for earlier in (cube_set, model, embeddings))
    )
    _table(Path(receipt["folder"]), artifact_key("figures", settings, step.name))
    return receipt


def _table(evaluation: Path, key: str) -> None:
    figures = json.loads((evaluation / "figures.json").read_bytes())
    rows = [
        {
            "method": name,
            "mean R2": _value(method["mean_r2"]),
            "recall@1, corner": _value((method["displaced_retrieval"] or {}).get("recall_at_1")),
            "MRR, corner": _value((method["displaced_retrieval"] or {}).get("mrr")),
            "recall@1": _value((method["retrieval"] or {}).get("recall_at_1")),
            "MRR": _value((method["retrieval"] or {}).get("mrr")),
            "RankMe": method["rankme"],
            "dimensions": method["dimensions"],
        }
        for name, method in figures["methods"].items()
    ]
    create_table_artifact(rows, key=key, description="\n".join(f"- {claim}" for claim in figures["claims"]))


def _value(figure: dict[str, Any] | None) -> Any:
    return figure["value"] if figure else None
