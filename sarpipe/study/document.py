"""A study put together: for each choice and baseline, what the default has more than it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sarpipe.evaluate.claims import LABELS
from sarpipe.evaluate.estimate import Estimate
from sarpipe.evaluate.score import MEASURES
from sarpipe.study.choices import Choice
from sarpipe.study.paired import over_seeds, verdict
from sarpipe.study.result import Result

Seeds = Sequence[Result]
"""The results of one kind of training, seed by seed."""


def document(default: Seeds, choices: Mapping[Choice, Seeds | str], baselines: Mapping[str, Result]) -> dict[str, Any]:
    """The study as ``study.json`` holds it, without what it was made from.

    Args:
        default: Of the default, for each seed.
        choices: Of the trainings with one choice put back, for the same seeds; or why they were stopped.
        baselines: By their names in `sarpipe.evaluate.claims.LABELS`; none knows of a training's seed.
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
                **({"stopped": found} if isinstance(found, str) else _beside(default, found, measures)),
            }
            for choice, found in choices.items()
        ],
        "baselines": [
            {"baseline": LABELS[name], **_beside(default, [baselines[name]] * len(default), measures)}
            for name in LABELS
            if name in baselines
        ],
    }


def table(study: Mapping[str, Any]) -> list[str]:
    """The study as lines of a Markdown table: the default, then what it has more than each training and baseline."""
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


def _beside(default: Seeds, found: Seeds, measures: Sequence[str]) -> dict[str, Any]:
    """The figures of a variant or baseline, and what the default has more than it."""
    rows = {}
    for name in measures:
        if name in found[0].figures:
            theirs = _over_seeds(found, name)
            gap = _over_seeds(default, name) - theirs
            rows[name] = {
                **theirs.as_json(),
                "seeds": _values(found, name),
                "default_minus_this": {**gap.as_json(), "verdict": verdict(gap)},
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
    return text if gap["verdict"] == "not shown" else f"**{text}**"
