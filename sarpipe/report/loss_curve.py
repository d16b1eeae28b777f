"""How training went: loss and learning rate a step, monitors an epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sarpipe.report.chart import ACCENT, INK, RULE, WARM, captioned, inline_svg, new_axes, png
from sarpipe.report.markup import Html, join, paragraph, section, text

_BINS = 400
"""Beyond so many steps a bin of steps is drawn as the band from its smallest to its largest loss."""

_SMOOTHING = 25
"""The smoothed line is a centred mean over one such part of all steps."""


_MOST_RULES = 50
"""Beyond so many epochs their first steps are not marked."""


def training_section(losses: pd.DataFrame, monitors: pd.DataFrame | None) -> Html:
    """The loss curve, the learning rate, and one small chart for each monitor.

    Args:
        losses: Columns ``step, epoch, loss, learning_rate``, one row a step; may be empty.
        monitors: Column ``epoch`` and one column a monitor, or None.
    """
    rows = [
        ("charts", [] if losses.empty else [_loss_chart(losses), _rate_chart(losses)]),
        ("charts small", [] if monitors is None else _monitor_charts(monitors)),
    ]
    drawn = [Html(f'<div class="{css}">{join(charts)}</div>') for css, charts in rows if charts]
    nothing = paragraph(text("No training was recorded for these embeddings."))
    return section("training", "Training", *(drawn or [nothing]))


def loss_png(losses: pd.DataFrame) -> bytes:
    """The loss curve as a PNG on white: columns ``step, epoch, loss, learning_rate``, may be empty."""
    return png(_loss_figure(losses))


def _loss_chart(losses: pd.DataFrame) -> Html:
    known = _finite(losses)["loss"]
    epochs = losses["epoch"].nunique()
    ends = f" from {known.iloc[0]:.2f} to {known.iloc[-1]:.2f}" if len(known) else ""
    said = f"Training loss{ends} over {len(losses):,} steps"
    said += f" in {epochs} epochs." if epochs > 1 else "."
    if len(known) < len(losses):
        said += f" {len(losses) - len(known):,} steps have no finite loss."
    window = _window(len(losses))
    if window > 1:
        thin = (
            "the band spans the losses of neighbouring steps" if len(losses) > _BINS else "the thin line is each step"
        )
        said += f" The thick line is a centred mean over {window} steps; {thin}."
    if 1 < epochs <= _MOST_RULES:
        said += " Vertical rules mark the first step of an epoch."
    return captioned(inline_svg(_loss_figure(losses), "loss", said), text(said))


def _rate_chart(losses: pd.DataFrame) -> Html:
    figure, axes = new_axes(400, 270, "step", "learning rate")
    axes.locator_params(axis="x", integer=True)
    kept = losses.iloc[:: max(1, len(losses) // _BINS)]
    axes.plot(kept["step"], kept["learning_rate"], color=WARM, linewidth=1.8)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    axes.yaxis.get_offset_text().set_color(INK)
    said = f"Learning rate a step; the largest is {losses['learning_rate'].max():.3g}."
    return captioned(inline_svg(figure, "rate", said), text(said))


def _loss_figure(losses: pd.DataFrame) -> Figure:
    figure, axes = new_axes(400, 270, "step", "training loss")
    axes.locator_params(axis="x", integer=True)
    finite = _finite(losses)
    if finite.empty:
        axes.text(0.5, 0.5, "no steps", transform=axes.transAxes, ha="center", color=INK)
        return figure
    _mark_epochs(axes, finite)
    bins = np.arange(len(finite)) * min(_BINS, len(finite)) // len(finite)
    band = finite.groupby(bins).agg(step=("step", "mean"), low=("loss", "min"), high=("loss", "max"))
    axes.fill_between(band["step"], band["low"], band["high"], color=ACCENT, alpha=0.35, linewidth=0.8)
    smooth = finite["loss"].rolling(_window(len(finite)), center=True, min_periods=1).mean()
    kept = slice(None, None, max(1, len(finite) // _BINS))
    axes.plot(finite["step"].iloc[kept], smooth.iloc[kept], color=ACCENT, linewidth=2)
    return figure


def _mark_epochs(axes: Axes, losses: pd.DataFrame) -> None:
    starts = losses.groupby("epoch")["step"].min()
    axes.grid(visible=False, axis="x")
    if 1 < len(starts) <= _MOST_RULES:
        for step in starts.iloc[1:]:
            axes.axvline(step, color=RULE, linewidth=0.8)


def _monitor_charts(monitors: pd.DataFrame) -> list[Html]:
    names = [name for name in monitors.select_dtypes("number").columns if name not in ("epoch", "step")]
    return [_monitor_chart(monitors, name, place) for place, name in enumerate(names)]


def _monitor_chart(monitors: pd.DataFrame, name: str, place: int) -> Html:
    label = name.replace("_", " ")
    known = monitors[["epoch", name]].dropna()
    figure, axes = new_axes(320, 200, "epoch", label)
    axes.locator_params(axis="x", integer=True)
    axes.plot(known["epoch"], known[name], color=ACCENT, linewidth=1.8, marker="o", markersize=4)
    said = f"{label} at the end of each epoch"
    said += f"; last {float(known[name].iloc[-1]):.3g}.".replace("-", "−") if len(known) else "; never measured."
    return captioned(inline_svg(figure, f"monitor{place}", said), text(said))


def _finite(losses: pd.DataFrame) -> pd.DataFrame:
    return losses[np.isfinite(losses["loss"].astype(float))]


def _window(steps: int) -> int:
    return max(1, steps // _SMOOTHING)
