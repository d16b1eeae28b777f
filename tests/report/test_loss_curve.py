from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from sarpipe.report import loss_png
from sarpipe.report.loss_curve import training_section


def test_the_curve_says_where_it_starts_and_ends(losses: pd.DataFrame) -> None:
    section = training_section(losses, None)
    assert "Training loss from 5.00 to 0.83 over 60 steps in 3 epochs." in section
    assert section.count("<svg") == 2


def test_a_monitor_that_was_never_measured_says_so(losses: pd.DataFrame) -> None:
    monitors = pd.DataFrame({"epoch": [0, 1], "rankme": [np.nan, np.nan], "alignment": [0.5, -0.25]})
    section = training_section(losses, monitors)
    assert "rankme at the end of each epoch; never measured." in section
    assert "alignment at the end of each epoch; last −0.25." in section


def test_the_drawing_of_a_long_training_is_no_larger_than_that_of_a_short_one(losses: pd.DataFrame) -> None:
    long = losses.iloc[np.arange(100_000) % len(losses)].assign(step=range(100_000), epoch=np.arange(100_000) // 100)
    assert len(training_section(long, None)) < 100_000


def test_losses_that_are_not_finite_leave_gaps_and_no_error(losses: pd.DataFrame) -> None:
    gaps = losses.assign(loss=losses["loss"].mask(losses["step"].isin([0, 30, 59])))
    gaps.loc[30, "loss"] = np.inf
    section = training_section(gaps, None)
    assert "Training loss from 4.85 to 0.85 over 60 steps" in section
    assert "3 steps have no finite loss." in section
    assert "60 steps have no finite loss." in training_section(losses.assign(loss=np.nan), None)


def test_the_png_is_the_same_each_time_and_exists_without_steps(losses: pd.DataFrame) -> None:
    assert loss_png(losses) == loss_png(losses)
    assert Image.open(io.BytesIO(loss_png(losses.iloc[:0]))).size == Image.open(io.BytesIO(loss_png(losses))).size
