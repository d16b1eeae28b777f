"""How two views of a place are drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]


class ViewSettings(BaseModel):
    """The augmentations of a view, in the order in which they are applied. The defaults are those of preset ``sar``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date_subset: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Probability that a view is taken from a random 2, 3 or 4 of the dates, not from all",
    )
    crop_min: float = Field(0.8, gt=0.01, le=1, description="Least share of the area that a crop keeps; 1: no crop")
    symmetry: Literal["none", "flips", "dihedral"] = Field(
        "dihedral", description="Flips: left-right and up-down; dihedral: these and quarter turns"
    )
    blur: tuple[Probability, Probability] = Field(
        (0.5, 0.1), description="Probability of a 3 x 3 Gaussian blur in the first view and in the second"
    )
    speckle: float = Field(0.5, ge=0, le=1, description="Probability that speckle is added")
    speckle_db: float = Field(
        0.5, ge=0, le=5, description="Largest standard deviation of the added speckle of one date at 64 px, dB"
    )
    db_offset: float = Field(
        0.5, ge=0, le=10, description="Largest offset of a polarisation's mean level, equal at all dates, dB"
    )
    polarisation_drop: float = Field(
        0.0, ge=0, le=1, description="Probability that everything from VV, or everything from VH, is left out"
    )
