"""Flow evaluate: embeddings and baselines to figures."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from prefect.artifacts import TableArtifact

from sarpipe import __version__
from sarpipe.flows.naming import counted, rename, trained
from sarpipe.flows.parameters import Overrides, Place, Preset, Recipe
from sarpipe.runs.log import note_result, stage_log
from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes, find_earlier, places_kept
from sarpipe.stages.evaluate import make_evaluation, plan_evaluate
from sarpipe.tasks.artifact import artifact_key, show
from sarpipe.tasks.evaluate import evaluate_embeddings
from sarpipe.tasks.outcome import flow
from sarpipe.tasks.policy import run_now


@flow(name="evaluate", version=__version__, flow_run_name="evaluate {data}", persist_result=False)
def evaluate(
    data: Place = "data",
    recipe: Recipe = None,
    preset: Preset = None,
    config: Place | None = None,
    overrides: Overrides = None,
    cubes: Place | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Measure the embeddings beside an untrained encoder and what needs no encoder.

    Args:
        data: All output goes below this folder or URL.
        recipe: Of the cubes, `sar` or `original`; unset, what `config` says, else `sar`.
        preset: Of training, `sar` or `original`; unset, what `config` says, else `sar`.
        config: YAML file of settings.
        overrides: Settings by dotted name, for example `{"train.epochs": 30}`.
        cubes: Folder of a set of cubes; unset, the one that was preprocessed last.
        force: Measure again although the figures are there.
    """
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    with stage_log(settings, "evaluate"):
        cube_set = find_cubes(settings, cubes)
        places = places_kept(cube_set)
        rename(f"evaluate {trained(settings)}: {counted(places, 'place')}")
        model, embeddings = find_earlier(settings, cube_set, "evaluate")
        step = plan_evaluate(settings, cube_set, model, embeddings, force=force)
        made_from = (cube_set, model, embeddings)
        receipt = run_now(
            evaluate_embeddings,
            step,
            settings,
            *(str(artefact.folder) for artefact in made_from),
            found=partial(make_evaluation, step, settings, *made_from),
        )
        note_result(receipt, places)
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
    show(TableArtifact(table=rows, key=key, description="\n".join(f"- {claim}" for claim in figures["claims"])))


def _value(figure: dict[str, Any] | None) -> Any:
    return figure["value"] if figure else None
