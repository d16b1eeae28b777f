"""A study put together: for each choice and baseline, what the default has more than it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sarpipe.evaluate.claims import FEWEST, LABELS
from sarpipe.evaluate.estimate import FEW_BLOCKS, Estimate, over_seeds
from sarpipe.evaluate.score import MEASURES
from sarpipe.study.choices import Choice
from sarpipe.study.paired import verdict
from sarpipe.study.result import Result

Seeds = Sequence[Result]
"""The results of one kind of training, seed by seed."""


def document(
    default: Seeds, choices: Mapping[Choice, Seeds | str], baselines: Mapping[str, Result], *, judged: bool
) -> dict[str, Any]:
    """The study as ``study.json`` holds it, without what it was made from.

    Args:
        default: Of the default, for each seed.
        choices: Of the trainings with one choice put back, for the same seeds; or why they were stopped.
        baselines: By their names in `sarpipe.evaluate.claims.LABELS`; none knows of a training's seed.
        judged: Whether there are places enough for a verdict.
    """
    measures = [name for name in MEASURES if name in default[0].figures]
    return {
        "seeds": len(default),
        "default": {
            "rankme": [one.rankme for one in default],
            "measures": {
                name: {**_over_seeds(default, name).as_json(), "seeds": _values(default, name)} for name in measures
            },
        },
        "choices": [
            {
                "choice": choice.name,
                "instead": choice.instead,
                **({"stopped": found} if isinstance(found, str) else _beside(default, found, measures, judged=judged)),
            }
            for choice, found in choices.items()
        ],
        "baselines": [
            {"baseline": LABELS[name], **_beside(default, [baselines[name]] * len(default), measures, judged=judged)}
            for name in LABELS
            if name in baselines
        ],
    }


def page(study: Mapping[str, Any]) -> list[str]:
    """The study as lines of Markdown, ``study`` as in ``study.json``."""
    places, seeds, train = study["places"], study["seeds"], study["train"]
    where = "held out" if places["held_out"] else "the same as learnt from"
    lines = [
        "# What each choice of the training brings",
        "",
        f"Preset {train['preset']}, {train['epochs']} epochs, {seeds} {'seed' if seeds == 1 else 'seeds'}; "
        f"{places['learnt_from']} places to learn from, measured on {places['measured_on']} ({where}), in "
        f"{places['blocks']} {'block' if places['blocks'] == 1 else 'blocks'} of ground.",
        "The first row is the default, with 95 % intervals. The others are the default minus the training with the "
        "choice put back, or minus the baseline, of the same places and seeds; **bold** where the interval leaves out "
        "0. RankMe is each one's own.",
    ]
    if places["left_out_as_near"]:
        lines.append(
            f"{places['left_out_as_near']} places held out were within {places['apart_km']:g} km of one to learn from, "
            "and left out."
        )
    if seeds == 1:
        lines.append("One seed: the intervals know nothing of the spread between seeds.")
    if places["blocks"] < min(FEW_BLOCKS, places["measured_on"]):
        lines.append("So few blocks are few to draw from: the intervals are too narrow.")
    if places["measured_on"] < FEWEST:
        lines.append(f"With fewer than {FEWEST} places nothing is decided.")
    return [*lines, "", *_table(study)]


def _table(study: Mapping[str, Any]) -> list[str]:
    default = study["default"]
    measures = list(default["measures"])
    whole = [
        f"{entry['value']:.3f} [{entry['interval'][0]:.3f}, {entry['interval'][1]:.3f}]"
        for entry in default["measures"].values()
    ]
    lines = [
        ["choice", "instead", *measures, "RankMe"],
        ["---"] * (3 + len(measures)),
        ["**default**", "", *whole, _rank(default)],
    ]
    for row in (*study["choices"], *study["baselines"]):
        name, instead = (row["choice"], row["instead"]) if "choice" in row else ("baseline", row["baseline"])
        if "stopped" in row:
            lines.append([name, instead, f"stopped: {row['stopped']}", *[""] * len(measures)])
        else:
            lines.append([name, instead, *(_said(row["measures"].get(one)) for one in measures), _rank(row)])
    return [f"| {' | '.join(line)} |" for line in lines]


def _beside(default: Seeds, found: Seeds, measures: Sequence[str], *, judged: bool) -> dict[str, Any]:
    """The figures of a variant or baseline, and what the default has more than it."""
    rows = {}
    for name in measures:
        if name in found[0].figures:
            theirs = _over_seeds(found, name)
            gap = _over_seeds(default, name) - theirs
            rows[name] = {
                **theirs.as_json(),
                "seeds": _values(found, name),
                "default_minus_this": {**gap.as_json(), "verdict": verdict(gap) if judged else "too few places"},
                "seeds_differ": [a - b for a, b in zip(_values(default, name), _values(found, name), strict=True)],
            }
    return {"rankme": [one.rankme for one in found], "measures": rows}


def _over_seeds(results: Seeds, name: str) -> Estimate:
    return over_seeds([one.figures[name] for one in results])


def _values(results: Seeds, name: str) -> list[float]:
    return [one.figures[name].value for one in results]


def _rank(row: Mapping[str, Any]) -> str:
    """Mean over the seeds."""
    known = [value for value in row["rankme"] if value is not None]
    return f"{sum(known) / len(known):.0f}" if known else ""


def _said(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    gap = found["default_minus_this"]
    low, high = gap["interval"]
    text = f"{gap['value']:+.3f} [{low:+.3f}, {high:+.3f}]"
    return text if gap["verdict"] not in ("better", "worse") else f"**{text}**"
