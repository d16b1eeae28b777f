"""The stages one after the other: what each finds of those before it, and what a whole run comes to."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from sarpipe.codes import Code
from sarpipe.errors import ClusterError, DataError, SarpipeError, StorageError, UsageError, code_of
from sarpipe.quarantine import Refusal, read_quarantine
from sarpipe.runs.log import note_planned
from sarpipe.settings import Settings
from sarpipe.ssl4eo import Source
from sarpipe.stages.cube_set import SetReceipt, current_set, plan_set
from sarpipe.stages.cubes_parquet import parquet_folder
from sarpipe.stages.embed import plan_embed
from sarpipe.stages.evaluate import plan_evaluate
from sarpipe.stages.preprocess import StoreReceipt, plan_preprocess, unit_receipt
from sarpipe.stages.quarantine import quarantine_path
from sarpipe.stages.report import plan_report
from sarpipe.stages.step import Step, require, waiting
from sarpipe.stages.train import plan_train
from sarpipe.storage import Artefact, address, inspect, local_path, open_verified, synced
from sarpipe.storage.artefact import MANIFEST

STAGES = ("preprocess", "train", "embed", "evaluate", "report")
_PLANS: dict[str, Callable[..., Step]] = {
    "train": plan_train,
    "embed": plan_embed,
    "evaluate": plan_evaluate,
    "report": plan_report,
}
"""Each is called with the settings, the set of cubes, and what the stages before it have made, in order."""


class Preprocessed(TypedDict):
    """What stage preprocess comes to. JSON-able."""

    units: list[StoreReceipt]
    refused: dict[str, Refusal]
    cube_set: SetReceipt
    seconds: float


def find_cubes(settings: Settings, folder: str | None) -> Artefact:
    """The set of cubes at ``folder``, one of this recipe; by default the one that was preprocessed last.

    Raises:
        UsageError: It is not there, or nothing was preprocessed yet.
    """
    if folder is None:
        return current_set(settings)
    path = local_path(folder).resolve()
    if path.parent != settings.cubes_folder:
        raise UsageError(
            f"{path} is no set of cubes below {settings.cubes_folder}", "Leave it out to take the last one"
        )
    try:
        return synced(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist", "Leave it out to take the last one") from error


def find_earlier(settings: Settings, cube_set: Artefact, stage: str) -> list[Artefact]:
    """What the stages between preprocess and this one have made of these cubes, in the order of the stages.

    Raises:
        UsageError: One of them has not run.
    """
    found: list[Artefact] = []
    for earlier in STAGES[1 : STAGES.index(stage)]:
        if earlier == "train" and settings.model is not None:
            found.append(given_model(settings.model))
            continue
        found.append(require(_PLANS[earlier](settings, cube_set, *found), f"sarpipe {earlier}"))
    return found


def given_model(folder: Path) -> Artefact:
    """A model that was trained elsewhere, verified.

    Raises:
        UsageError: There is none.
    """
    hint = "Give the folder of a model, as data/models/sar-0123456789ab; 'sarpipe train --json' names it"
    if not (folder / MANIFEST).is_file():
        raise UsageError(f"there is no model in {folder}", hint)
    model = open_verified(folder)
    if model.meta.get("stage") != "train":
        raise UsageError(f"{folder} is no model but of stage {model.meta.get('stage')}", hint)
    return model


def check_given(settings: Settings) -> None:
    """See that the model and the labels that are given can be read, before anything is computed for them.

    Raises:
        UsageError: One is not there, or is something else.
    """
    if settings.model is not None:
        given_model(settings.model)
    if settings.labels is not None:
        # Imported here, as it takes seconds.
        from sarpipe.evaluate.labels import read_labels

        read_labels(settings.labels)


def later_stages(settings: Settings, first: str = "preprocess") -> tuple[str, ...]:
    """The stages after preprocess that a run has which begins at ``first``: a model that is given is not trained."""
    stages = STAGES[1:] if settings.model is None else STAGES[2:]
    return tuple(stage for stage in stages if STAGES.index(stage) >= STAGES.index(first))


def cubes_there(settings: Settings, source: str | None) -> Artefact:
    """The set of cubes of a run that begins after preprocess: the one that these stores make, verified but never made;
    without a source the one that was preprocessed last.

    Raises:
        UsageError: A unit or the set is missing or damaged.
    """
    if source is None:
        return current_set(settings)
    stores = plan_preprocess(settings, source, remember=False)
    cube_set = _planned_set(settings, stores)
    if cube_set is None:
        undone = [step for step in stores if not _is_settled(step)]
        first = f"{len(undone)} of {len(stores)} stores, {undone[0].name}: {undone[0].why}" if undone else "the set"
        command = shlex.join(["sarpipe", "preprocess", source, "--data", address(settings.data)])
        raise UsageError(
            f"preprocess of {source} is not done: {first}",
            f"Run {command!r} first, with the same --recipe and settings",
            code=Code.NOT_MADE,
        )
    return cube_set


def places_kept(cube_set: Artefact) -> int:
    """How many places a set of cubes has."""
    return int(json.loads(cube_set.path("counts.json").read_bytes())["places_kept"])


def named(source: str | None) -> str:
    """The source of a run that begins with its stores.

    Raises:
        UsageError: There is none.
    """
    if not source:
        raise UsageError("no SOURCE is given", "For example 'sarpipe run raw/train/S1GRD'; '--from train' does without")
    return source


def settle(
    steps: Sequence[Step], receipts: Mapping[str, StoreReceipt], errors: Mapping[str, BaseException]
) -> tuple[list[StoreReceipt], dict[str, Refusal]]:
    """Sort out how the stores ended: the units in the order of the plan, and the refused stores with why.

    Raises:
        SarpipeError: A store failed for another reason than its data. What was made is kept.
    """
    note_planned(steps, receipts)
    sources = {step.name: step.source for step in steps}
    refused = {name: _refusal(error, sources[name]) for name, error in errors.items() if isinstance(error, DataError)}
    failed = {name: error for name, error in errors.items() if name not in refused}
    if failed:
        for error in failed.values():
            if isinstance(error, StorageError | ClusterError):
                # No property of the one store.
                raise error
        name, error = next(iter(failed.items()))
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise SarpipeError(
            f"store {name} failed: {_said(error)}{more}",
            f"{len(receipts)} of {len(steps)} units are done and kept: run it again to make the others",
            code=code_of(error),
        ) from error
    return [receipts[step.name] for step in steps if step.name in receipts], dict(sorted(refused.items()))


def plan(
    settings: Settings, stage: str, source: str | None, *, force: bool = False, first: str = "preprocess"
) -> list[Step]:
    """What a stage (or ``run``: all of them, from ``first`` on) would do, without doing it.

    Raises:
        UsageError: A stage before it has not run, there is no source where one is needed, or what is given cannot be
            read.
    """
    check_given(settings)
    if stage == "run" and first != "preprocess":
        return _plan_chain(settings, cubes_there(settings, source), later_stages(settings, first), force=force)
    if stage not in ("preprocess", "run"):
        return [_plan_later(settings, current_set(settings), stage, force=force)]
    source = named(source)
    if stage == "preprocess":
        return plan_preprocess(settings, source, force=force, remember=False)
    stores = plan_preprocess(settings, source, force=force, remember=False)
    cube_set = _planned_set(settings, stores)
    if cube_set is not None:
        return stores + _plan_chain(settings, cube_set, later_stages(settings), force=force)
    return stores + [waiting(later, settings.train.preset, "preprocess") for later in later_stages(settings)]


def summarise(settings: Settings, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The one JSON object of a run.

    Args:
        settings: Of the run.
        results: ``preprocess`` to `Preprocessed`, other stages to their receipts; only those that ran.
    """
    summary: dict[str, Any] = {"status": "completed"}
    if "preprocess" in results:
        summary |= _summarise_places(settings, results)
    summary["stages"] = {
        stage: "computed" if result["computed"] else "reused"
        for stage, result in results.items()
        if stage != "preprocess"
    }
    summary["outputs"] = _outputs(settings, results)
    if "train" in results:
        summary["training"] = {name: results["train"][name] for name in ("device", "steps", "resumed_from_step")}
    if "embed" in results:
        summary["energy"] = results["embed"]["energy"]
    if "evaluate" in results:
        summary["claims"] = results["evaluate"]["claims"]
    summary["seconds"] = {stage: result["seconds"] for stage, result in results.items()}
    return summary


def _planned_set(settings: Settings, stores: Sequence[Step]) -> Artefact | None:
    """The set that these stores make, if they and it are there."""
    if not all(_is_settled(step) for step in stores):
        return None
    units = [unit_receipt(step) for step in stores if step.state != "refused"]
    refused = {step.name: _refusal(step.refusal(), step.source) for step in stores if step.state == "refused"}
    step = plan_set(settings, units, refused)
    return inspect(step.folder) if step.folder and step.done else None


def _is_settled(step: Step) -> bool:
    """Whether all that a store can give is there."""
    return step.done or step.state in ("partial", "refused")


def _plan_later(settings: Settings, cube_set: Artefact, stage: str, *, force: bool) -> Step:
    return _PLANS[stage](settings, cube_set, *find_earlier(settings, cube_set, stage), force=force)


def _plan_chain(settings: Settings, cube_set: Artefact, stages: Sequence[str], *, force: bool) -> list[Step]:
    """These later stages as far as their keys are known: a key needs the bytes of what comes before."""
    steps: list[Step] = []
    for stage in stages:
        if steps and not steps[-1].done:
            steps.append(waiting(stage, settings.train.preset, steps[-1].stage))
        else:
            steps.append(_plan_later(settings, cube_set, stage, force=force))
    return steps


def _summarise_places(settings: Settings, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    done = results["preprocess"]
    units, cube_set = done["units"], done["cube_set"]
    places = {"in": cube_set["places_in"], "quarantined": cube_set["places_quarantined"]}
    if "embed" in results:
        places["embedded"] = results["embed"]["places"]
    computed = sum(unit["computed"] for unit in units)
    named = read_quarantine(open_verified(Path(cube_set["folder"])))
    return {
        "places": places,
        "units": {
            "total": len(units) + len(done["refused"]),
            "computed": computed,
            "reused": len(units) - computed,
            "refused": len(done["refused"]),
        },
        "quarantine": named.to_dict("records"),
    }


def _outputs(settings: Settings, results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    outputs: dict[str, str] = {}
    if "preprocess" in results:
        outputs["cubes"] = address(Path(results["preprocess"]["cube_set"]["folder"]))
        if settings.format == "parquet":
            outputs["cubes_parquet"] = address(parquet_folder(settings))
        outputs["quarantine"] = address(quarantine_path(settings))
    names = {
        "train": {"model": ""},
        "embed": {
            "embeddings_parquet": "embeddings.parquet",
            "embeddings_csv": "embeddings.csv",
            "embeddings_csv_standardised": "embeddings_standardised.csv",
            "embeddings_zarr": "embeddings.zarr",
            "stac": "collection.json",
        },
        "evaluate": {"evaluation": "figures.json"},
        "report": {"report": "report.html"},
    }
    for stage, files in names.items():
        if stage in results:
            folder = Path(results[stage]["folder"])
            outputs |= {name: address(folder / file) for name, file in files.items()}
    return outputs


def _refusal(error: DataError, store: Source | None) -> Refusal:
    """Why a store cannot be used, by its own name: where it lies is no property of what is made from it."""
    reason = str(error)
    return {"code": error.code.value, "reason": reason.replace(str(store), store.name) if store is not None else reason}


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, SarpipeError) else f"{type(error).__name__}: {error}"
