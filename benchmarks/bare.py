"""Stand-ins for what a bare GPU machine may lack of the training core's few packages.

Settings are then taken as they are given, unchecked; weights cannot be saved or loaded, which no benchmark does.
Importing this puts a stand-in in the place of each package that is not there, and of no other.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _Field:
    """The default of a field, without its limits and description."""

    def __init__(self, default: Any = None, **_: Any) -> None:
        self.default = default


class _BaseModel:
    """Of pydantic's, what settings of code that is known to be right come to: defaults, and what comes before them."""

    def __init__(self, **given: Any) -> None:
        for step in _before(type(self)):
            given = step.__func__(type(self), given)  # type: ignore[attr-defined]
        for name, default in self._defaults().items():
            value = given.get(name, default)
            model = type(default)
            if isinstance(value, dict) and issubclass(model, _BaseModel):
                value = model.model_validate(value)
            self.__dict__[name] = copy.copy(value)

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        fields = {name: vars(cls).get(name) for name in vars(cls).get("__annotations__", {}) if name != "model_config"}
        return {name: field.default if isinstance(field, _Field) else field for name, field in fields.items()}

    @classmethod
    def model_validate(cls, given: Any) -> Any:
        return given if isinstance(given, cls) else cls(**given)

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {
            name: value.model_dump() if isinstance(value, _BaseModel) else value for name, value in vars(self).items()
        }


def _before(model: type) -> list[Any]:
    return [step for step in vars(model).values() if getattr(step, "comes_before", False)]


def _validator(*_: str, mode: str = "after") -> Callable[[Any], Any]:
    def mark(method: Any) -> Any:
        marked = _Marked(method.__func__)
        marked.comes_before = mode == "before"
        return marked

    return mark


class _Marked(classmethod):  # type: ignore[type-arg]
    """A class method that knows when pydantic would call it."""

    comes_before = False


def _absent(*_: Any, **__: Any) -> Any:
    raise ModuleNotFoundError("No module named 'safetensors'")


def _module(name: str, **contents: Any) -> None:
    module = ModuleType(name)
    vars(module).update(contents)
    sys.modules[name] = module


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # it is hidden
        return False


REPLACED = [name for name in ("pydantic", "safetensors") if not _is_there(name)]
"""What has a stand-in here."""

if "pydantic" in REPLACED:
    _module(
        "pydantic",
        BaseModel=_BaseModel,
        ConfigDict=dict,
        Field=_Field,
        ValidationError=type("ValidationError", (ValueError,), {}),
        ValidationInfo=object,
        field_validator=_validator,
        model_validator=_validator,
    )
if "safetensors" in REPLACED:
    _module("safetensors", SafetensorError=type("SafetensorError", (Exception,), {}))
    _module("safetensors.torch", load_file=_absent, save_file=_absent)
