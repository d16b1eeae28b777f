"""When a run is no use going on with: its embeddings are all alike, or its task was no task."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sarpipe.channels import EMBED_DIM
from sarpipe.errors import TrainingError
from sarpipe.model.encoder import TOKEN_DIM
from sarpipe.train.monitor import MONITORS, pair_accuracy
from sarpipe.train.plan import Plan
from sarpipe.train.settings import TrainSettings

LEAST_RANK_SHARE = 50 / 1024
"""Of what RankMe could be: the embedding's dimensions, or the places that it was taken over if they are fewer."""
GREATEST_UNIFORMITY = -0.5
"""Points spread evenly over a sphere of 128 dimensions have -4, all in one spot 0."""
GREATEST_FIRST_ACCURACY = 0.999
"""Of pairs in the first step: an encoder that has not learnt finds partners so surely if its views are the same."""

GRACE_EPOCHS = 5
"""Rank and uniformity are judged after so many epochs, and after the warm-up: fresh encoders see all places alike."""
FEWEST_PLACES = 64
"""With fewer places, or smaller batches, nothing is judged: their figures are ruled by their number."""


def stop_if_views_leak(z1: Tensor, z2: Tensor) -> None:
    """Judge the first step of a run, whose encoder has learnt nothing yet.

    Args:
        z1: ``float32 [B, D]``, the head's output for the first views of the batch.
        z2: ``float32 [B, D]``, for the second.

    Raises:
        TrainingError: All but nobody finds its partner among all others: the views are as good as the same.
    """
    if len(z1) < FEWEST_PLACES:
        return
    accuracy = pair_accuracy(z1, z2).item()
    if accuracy > GREATEST_FIRST_ACCURACY:
        raise TrainingError(
            f"the views of a place are too much alike: in the first step {accuracy:.1%} of {len(z1)} found their "
            f"partner, untrained (at most {GREATEST_FIRST_ACCURACY:.1%} may), so there is nothing to learn",
            "Augment more: for example train.views.crop_min 0.2 and train.views.date_subset 1",
        )


def stop_if_collapsed(history: Sequence[Sequence[float]], places: int, plan: Plan, settings: TrainSettings) -> None:
    """Judge the epoch that has just ended.

    Args:
        history: The values of `sarpipe.train.monitor.MONITORS`, one row an epoch.
        places: That the last RankMe was taken over.
        plan: Of the run.
        settings: Likewise.

    Raises:
        TrainingError: The embedding uses too few dimensions, or the projections lie in one spot. It says which, by
            what figures, and what to try.
    """
    if min(places, plan.batch_size) < FEWEST_PLACES:
        return
    epoch, now = len(history), dict(zip(MONITORS, history[-1], strict=True))
    if epoch <= max(GRACE_EPOCHS, plan.warmup_steps // plan.steps_per_epoch):
        return
    most = min(places, EMBED_DIM if settings.readout == "tokens_and_stages" else TOKEN_DIM)
    if not now["rankme"] >= LEAST_RANK_SHARE * most:  # nor is it where all are 0
        raise TrainingError(
            f"the embedding has collapsed to few dimensions: after epoch {epoch} RankMe is {now['rankme']:.1f} of "
            f"{most} (at least {LEAST_RANK_SHARE * most:.1f} is needed)",
            "Try a learning_rate a third as high, a smaller temperature, or readout tokens_and_stages",
        )
    if not now["uniformity"] <= GREATEST_UNIFORMITY:
        raise TrainingError(
            f"the projections have collapsed into one spot: after epoch {epoch} uniformity is "
            f"{now['uniformity']:.2f} (at most {GREATEST_UNIFORMITY:g} is sound)",
            "Try a learning_rate a third as high, a smaller temperature, or another loss",
        )
