"""Which dates of a place a recipe uses, and what a user of its cube must know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sarpipe.channels import CHANNELS
from sarpipe.preprocess.place import Cube, RejectedPlaceError
from sarpipe.preprocess.recipe import Recipe, SarRecipe

PARTLY_VALID = 0.9
"""A place of which less than this share of the pixels holds data is flagged."""

_DEVIATION = CHANNELS.index("std_vv")


def used_dates(orbit_passes: Sequence[str], positions: Sequence[int], recipe: Recipe) -> list[int]:
    """The dates of which the recipe makes the cube, in its order: all or those of one pass, in the order of time;
    in ``original`` all as they are stored, which may be another (SSL4EO-S12-v1.1 issue 4).

    Args:
        orbit_passes: Of the dates, in the order of time.
        positions: Where each of them is stored.
        recipe: The recipe.

    Raises:
        RejectedPlaceError: None is known to be of that pass.
    """
    if not isinstance(recipe, SarRecipe):
        return sorted(range(len(positions)), key=positions.__getitem__)
    wanted = recipe.orbit_pass
    used = [t for t, name in enumerate(orbit_passes) if wanted in ("both", name)]
    if not used:
        unknown = sum(name == "unknown" for name in orbit_passes)
        but = f", the pass of {unknown} is not known" if unknown else ""
        raise RejectedPlaceError(f"none of {len(orbit_passes)} dates is known to be {wanted}{but}")
    return used


def quality_flags(made: Cube, orbit_passes: Sequence[str], date_order: str) -> list[str]:
    """What is unusual about a place, in this order.

    ``single_date``: no pixel has data at two dates, so deviation and difference over time are not known (0 in
    recipe ``original``). ``two_dates``: two dates hold data, and no more. ``mixed_passes``: ascending and
    descending dates are compared, so these two also hold the change of the looking direction.
    ``date_order_stored``: the dates are in the stored order, which is not known to be that of time, or
    (``original``) known not to be. ``partly_valid``: less than 90 % of the pixels hold data.

    Args:
        made: The cube.
        orbit_passes: Of the dates that it was made from.
        date_order: As in the index of a unit.
    """
    with_data = sum(share > 0 for share in made.valid)
    single = with_data < 2 or not np.isfinite(made.cube[_DEVIATION:]).any()
    flags = {
        "single_date": single,
        "two_dates": with_data == 2 and not single,
        "mixed_passes": {"ascending", "descending"} <= set(orbit_passes),
        "date_order_stored": date_order == "stored" and len(orbit_passes) > 1,
        "partly_valid": sum(made.valid) / len(made.valid) < PARTLY_VALID,
    }
    return [name for name, applies in flags.items() if applies]
