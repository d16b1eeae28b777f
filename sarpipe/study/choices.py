"""The choices that a study puts back, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sarpipe.errors import UsageError
from sarpipe.train.settings import TrainSettings


@dataclass(frozen=True, eq=False)
class Choice:
    """One choice of the default, and what stands in its place in the study.

    Attributes:
        name: Of the choice.
        instead: What the training does instead, in words.
        overrides: Fields of `TrainSettings` to their values; those of ``views`` below ``views``.
    """

    name: str
    instead: str
    overrides: Mapping[str, Any]


_NO_NEGATIVES = {"temperature": None, "neighbour_km": 0.0}

CHOICES = (
    Choice("dates", "both views of all dates", {"views": {"date_subset": 0.0}}),
    Choice("crop", "crops of 20 to 100 % of the area", {"views": {"crop_min": 0.2}}),
    Choice("symmetry", "no flips, no turns", {"views": {"symmetry": "none"}}),
    Choice("blur", "no blur", {"views": {"blur": (0.0, 0.0)}}),
    Choice("speckle", "no speckle", {"views": {"speckle": 0.0}}),
    Choice("offset", "no offset of the level", {"views": {"db_offset": 0.0}}),
    Choice("offset_1_db", "an offset of the level by up to 1 dB", {"views": {"db_offset": 1.0}}),
    Choice("polarisation", "one polarisation left out of a fifth of the views", {"views": {"polarisation_drop": 0.2}}),
    Choice("loss", "NT-Xent", {"loss": "nt_xent"}),
    Choice("loss_vicreg", "VICReg", {"loss": "vicreg", **_NO_NEGATIVES}),
    Choice("loss_barlow_twins", "Barlow Twins", {"loss": "barlow_twins", **_NO_NEGATIVES}),
    Choice("temperature", "temperature 0.5", {"temperature": 0.5}),
    Choice("neighbours", "near places are negatives too", {"neighbour_km": 0.0}),
    Choice("readout", "the mean token alone", {"readout": "tokens"}),
    Choice("positions", "tokens do not know where they are", {"positions": False}),
    Choice("average", "the last weights, no running mean", {"ema": 0.0}),
    Choice("rate", "a learning rate of 2.5e-4, the square-root rule's for a batch of 64", {"learning_rate": 2.5e-4}),
    Choice("warmup", "no warm-up", {"warmup_epochs": 0}),
    Choice("clip", "gradients of any length", {"gradient_clip": 0.0}),
    Choice("dropout", "dropout of 0.1", {"dropout": 0.1}),
    Choice("schedule", "a constant learning rate", {"schedule": "constant"}),
    Choice("decay", "no weight decay", {"weight_decay": 0.0}),
)
"""Where there are rivals to a choice, the one that the papers start from, or that was the default before."""

PRESET = Choice("preset", "preset original, for as many epochs", {"preset": "original"})
"""All of them at once, and the rest of what the program that sarpipe starts from did."""

AS_WRITTEN = Choice(
    "as_written", "the original's own training: identical views, raw channels, as its program has it", {}
)
"""Not a choice either: no settings make it. `PRESET` is what the original says of itself, this is what it does."""

SUPERVISED = Choice("supervised", "the encoder learns the truth itself", {})
"""Not a choice of anybody who has no truth: what the budget comes to where the answer is told."""


def named(names: Sequence[str] | None, default: TrainSettings) -> tuple[Choice, ...]:
    """The choices of these names, in the order of the list; None: all that this default makes.

    Raises:
        UsageError: There is no such choice, or the default does not make it.
    """
    every = {choice.name: choice for choice in (*CHOICES, PRESET)}
    made = [name for name, choice in every.items() if _is_made(choice, default)]
    for name in names or ():
        if name not in made:
            raise UsageError(
                f"choice {name!r} is none of this default" if name in every else f"there is no choice {name!r}",
                f"Choices are {', '.join(made)}",
            )
    return tuple(every[name] for name in made if names is None or name in names)


def _is_made(choice: Choice, default: TrainSettings) -> bool:
    """Whether the default can do what stands in the choice's place, and does not do so already."""
    try:
        return without(choice, default) != default
    except ValidationError:
        return False


def without(choice: Choice, default: TrainSettings) -> TrainSettings:
    """The settings of a training that makes this one choice otherwise, with the same budget and seed.

    Raises:
        pydantic.ValidationError: The choice does not apply to this default.
    """
    if "preset" in choice.overrides:
        budget = {"epochs": default.epochs, "seed": default.seed, "precision": default.precision}
        return TrainSettings.of_preset(choice.overrides["preset"], **budget)
    fields = default.model_dump()
    views = {**fields["views"], **choice.overrides.get("views", {})}
    return TrainSettings.model_validate({**fields, **choice.overrides, "views": views})
