"""Which settings the keys of the stages hang on: all that may change what is made, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from sarpipe.errors import UsageError
from sarpipe.settings import Settings
from sarpipe.stages.chain import plan

WHERE_AND_HOW = ("format", "workers", "dask", "memory_gb", "device", "data", "data_url")
"""They say where and with what, never what."""
BY_CONTENT = ("model", "labels")
"""Their content is in keys: `tests/stages/test_chain.py`."""


def leaves(model: BaseModel, above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, type and value of each setting."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", field.annotation, value


def others(kind: Any, value: Any) -> Iterator[Any]:
    """Values to try in place of one, of which some may be out of range."""
    for one in get_args(kind) if get_origin(kind) is not Literal else ():
        if one is not NoneType:
            yield from others(one, value)
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value * 2, value / 2, value - 1, 0.5, 3, 32)
    elif isinstance(value, tuple):
        yield from ((*value, *value)[: len(value) + 1], value[:1], tuple(one * 2 for one in value if one))
    elif value is None:
        yield from (1, 0.5, 2, 64, True, "auto")


ALL = {name: (kind, value) for name, kind, value in leaves(Settings())}
CHANGING = [name for name in ALL if name.split(".")[0] in ("recipe", "train") and name != "recipe.name"]


def changed(run: Any, name: str) -> Any:
    """A value of a setting that is allowed and is another one."""
    kind, value = ALL[name]
    before = run.settings().model_dump()
    for other in others(kind, value):
        try:
            if other != value and run.settings(**{name.replace(".", "__"): other}).model_dump() != before:
                return other
        except UsageError:
            continue
    raise AssertionError(f"no other value of {name} ({kind}, now {value!r}) is allowed")


def states(run: Any, overrides: dict[str, Any]) -> list[str]:
    named = {name.replace(".", "__"): value for name, value in overrides.items()}
    return [step.state for step in plan(run.settings(**named), "run", str(run.stores))]


def expected(names: list[str]) -> list[str]:
    if any(name.startswith("recipe.") for name in names):
        return ["missing", "missing", *["waits"] * 4]
    if any(name.startswith("train.") for name in names):
        return ["done", "done", "missing", *["waits"] * 3]
    return ["done"] * 6


@pytest.mark.parametrize("name", CHANGING)
def test_a_setting_that_may_change_what_is_made_is_in_the_key_of_the_first_stage_that_it_changes(
    only_planned: Any, name: str
) -> None:
    assert states(only_planned, {name: changed(only_planned, name)}) == expected([name])


def test_another_recipe_makes_everything_anew(only_planned: Any) -> None:
    assert states(only_planned, {"recipe.name": "original"}) == expected(["recipe.name"])


@pytest.mark.parametrize(
    ("name", "value"), [("workers", 3), ("memory_gb", 0.001), ("dask", "tcp://other:1"), ("device", "auto")]
)
def test_where_and_with_what_is_in_no_key(only_planned: Any, name: str, value: Any) -> None:
    assert states(only_planned, {name: value}) == expected([name])


def test_every_setting_is_of_one_sort_or_the_other() -> None:
    assert {name.split(".")[0] for name in ALL} == {"recipe", "train", *WHERE_AND_HOW, *BY_CONTENT}


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=st.lists(st.sampled_from([*CHANGING, "workers", "memory_gb"]), unique=True, max_size=3))
def test_settings_together_change_what_the_first_of_them_changes(only_planned: Any, names: list[str]) -> None:
    overrides = {name: 3 if name in ("workers", "memory_gb") else changed(only_planned, name) for name in names}
    try:
        only_planned.settings(**{name.replace(".", "__"): value for name, value in overrides.items()})
    except UsageError:
        return
    assert states(only_planned, overrides) == expected(names)
