from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sarpipe.preprocess.recipe import OriginalRecipe, Recipe, SarRecipe

RECIPE: TypeAdapter[Recipe] = TypeAdapter(Recipe)
SAR = st.builds(
    SarRecipe,
    looks=st.floats(1, 1000),
    diameter=st.sampled_from([3, 5, 7, 9, 11]),
    sigma_space=st.floats(0.1, 20),
    sigma_range_looks=st.floats(0.1, 50),
    window_db=st.tuples(st.floats(-60, -20), st.floats(-10, 30)),
    floor_db=st.floats(-100, -30),
    min_valid=st.floats(0, 1),
)


@settings(deadline=None)
@given(SAR | st.just(OriginalRecipe()))
def test_a_recipe_survives_json(recipe: Recipe) -> None:
    assert RECIPE.validate_json(recipe.model_dump_json()) == recipe
    assert RECIPE.validate_python(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "sar", "lokks": 4.4},
        {"name": "original", "looks": 4.4},
        {"name": "other"},
        {},
        {"name": "sar", "looks": 0.5},
        {"name": "sar", "looks": "nan"},
        {"name": "sar", "diameter": 8},
        {"name": "sar", "sigma_space": 0},
        {"name": "sar", "window_db": [5, -30]},
        {"name": "sar", "window_db": [-30, -30]},
        {"name": "sar", "window_db": [-30, "inf"]},
        {"name": "sar", "window_db": ["nan", 5]},
        {"name": "sar", "window_db": [-30]},
        {"name": "sar", "floor_db": 0},
        {"name": "sar", "min_valid": 1.1},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RECIPE.validate_python(settings)


def test_a_recipe_cannot_be_changed() -> None:
    recipe = SarRecipe()
    with pytest.raises(ValidationError, match="frozen"):
        recipe.looks = 10.0  # type: ignore[misc]


def test_the_range_sigma_is_twice_the_speckles_deviation() -> None:
    assert SarRecipe().sigma_range == pytest.approx(4.4, abs=0.05)
    assert SarRecipe(looks=45).sigma_range == pytest.approx(1.3, abs=0.05)
