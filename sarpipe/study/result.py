"""What was measured of one training, or of one baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sarpipe.evaluate.estimate import Estimate


@dataclass(frozen=True)
class Result:
    """Its figures.

    Attributes:
        figures: Of `sarpipe.evaluate.score.MEASURES` those that were measured.
        rankme: See `sarpipe.evaluate.spectrum.rankme`; None where it is not defined.
    """

    figures: Mapping[str, Estimate]
    rankme: float | None

    def as_json(self) -> dict[str, Any]:
        """With all resamples, so that differences can be taken later."""
        figures = {name: {"value": e.value, "samples": e.samples.tolist()} for name, e in self.figures.items()}
        return {"figures": figures, "rankme": self.rankme}

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Result:
        """What `as_json` gave."""
        figures = document["figures"].items()
        return cls(
            {name: Estimate(entry["value"], np.array(entry["samples"])) for name, entry in figures}, document["rankme"]
        )
