"""The loss curve of a training, drawn while it trains."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from prefect.artifacts import MarkdownArtifact

from sarpipe.stages.picture import loss_picture
from sarpipe.tasks.artifact import LiveArtifact, picture

_EVERY_SECONDS = 30.0
_KEPT = 2000
"""Losses at most, evenly spread over the steps."""


class LossCurve:
    """A picture of the losses so far; at the end of all of them, with what the monitors said.

    Args:
        key: Of the artifact, see `sarpipe.tasks.artifact.artifact_key`.
        what: What is trained.
        epochs: Of the whole training.
    """

    def __init__(self, key: str, what: str, epochs: int) -> None:
        self._key, self._what, self._epochs = key, what, epochs
        self._losses: dict[int, float] = {}
        self._artifact = LiveArtifact(self._shown("No step yet.", ""), _EVERY_SECONDS)

    def add(self, step: int, steps: int, loss: float) -> None:
        """The loss of a step. One that went on from a checkpoint knows those since then."""
        if step % max(1, steps // _KEPT) == 0:
            self._losses[step] = loss
        if self._artifact.due and self._losses:
            known = pd.DataFrame({"step": list(self._losses), "loss": list(self._losses.values())})
            known["epoch"] = (known["step"] - 1) * self._epochs // steps + 1
            self._artifact.update(self._shown(_drawn(known), f", {step:,} of {steps:,} steps"))

    def close(self, model: Path) -> None:
        """Show the whole of it, as it lies beside the model."""
        monitors = pd.read_parquet(model / "monitors.parquet")
        drawn = _drawn(pd.read_parquet(model / "losses.parquet"))
        self._artifact.update(self._shown(f"{drawn}\n\n{_table(monitors)}", f": `{model}`"))

    def _shown(self, text: str, how_far: str) -> MarkdownArtifact:
        return MarkdownArtifact(key=self._key, markdown=text, description=f"{self._what}{how_far}")


def _drawn(losses: pd.DataFrame) -> str:
    return picture(loss_picture(losses), "webp", "loss by step")


def _table(monitors: pd.DataFrame) -> str:
    """The monitors after the first epoch and after the last, in Markdown."""
    names = [name for name in monitors.columns if name != "epoch"]
    head = f"| after epoch | {' | '.join(name.replace('_', ' ') for name in names)} |\n|{'---|' * (len(names) + 1)}\n"
    shown = monitors.iloc[sorted({0, len(monitors) - 1})] if len(monitors) else monitors
    lines = [
        f"| {row['epoch']:.0f} | {' | '.join(f'{row[name]:.3g}' for name in names)} |" for _, row in shown.iterrows()
    ]
    return head + "\n".join(lines)
