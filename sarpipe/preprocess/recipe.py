"""Recipes: the named settings that turn a place into a cube."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sarpipe.preprocess.bilateral import speckle_std_db


class OriginalRecipe(BaseModel):
    """What the program that sarpipe starts from does, to the letter. It has nothing to set.

    Bilateral d 9, sigma 75 and 75 on raw dB; per-image min-max to grey levels before CLAHE; statistics at the
    full size, resampled afterwards; no rule for pixels without data, so a place that has any is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["original"] = "original"


class SarRecipe(BaseModel):
    """The default: speckle-aware, comparable between dates, blind to pixels without data."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Literal["sar"] = "sar"
    looks: float = Field(4.4, ge=1, le=1000, description="Equivalent number of looks of the data (GRDH: 4.4)")
    diameter: Literal[3, 5, 7, 9, 11] = Field(9, description="Width of the bilateral's disc, pixels")
    sigma_space: float = Field(3.0, gt=0, le=20, description="Standard deviation of the bilateral in space, pixels")
    sigma_range_looks: float = Field(
        2.0, gt=0, le=50, description="Standard deviation of the bilateral in range, in speckle deviations"
    )
    window_db: tuple[float, float] = Field((-30.0, 5.0), description="VV dB that become grey levels 0 and 255")
    floor_db: float = Field(-60.0, ge=-100, le=-30, description="Values at or below are without data, dB")
    orbit_pass: Literal["both", "ascending", "descending"] = Field(
        "both", description="Which dates are used: of both passes, or only those of one"
    )
    min_valid: float = Field(0.5, ge=0, le=1, description="Share of pixels that a place must have, else quarantine")

    @field_validator("window_db")
    @classmethod
    def _window_is_open(cls, window: tuple[float, float]) -> tuple[float, float]:
        if window[0] >= window[1]:
            raise ValueError(f"the lower end {window[0]} is not below the upper end {window[1]}")
        return window

    @property
    def sigma_range(self) -> float:
        """Standard deviation of the bilateral's range weight in dB: 4.4 with the defaults."""
        return self.sigma_range_looks * speckle_std_db(self.looks)


Recipe = Annotated[OriginalRecipe | SarRecipe, Field(discriminator="name")]
