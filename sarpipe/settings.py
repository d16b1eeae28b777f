"""Settings of a run: from defaults, a YAML file, and the command line, in this order; checked once."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sarpipe.errors import UsageError
from sarpipe.preprocess.recipe import Recipe, SarRecipe
from sarpipe.storage import digest_json, is_url, local_path, mount
from sarpipe.train.settings import TrainSettings

MAX_CONFIG_BYTES = 1_000_000
_EXAMPLE = "For example train: {epochs: 30}"


class Settings(BaseModel):
    """All that a run can be told, but for where its stores are.

    ``recipe`` and ``train`` decide what is computed and enter the keys of the artefacts, and so does the content of
    ``model`` and ``labels``; the others only say where and with what, and do not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(Path("data"), description="All output goes below it; absolute once resolved")
    data_url: str | None = Field(None, description="Where output really is, if `data` is only its cache here")
    recipe: Recipe = Field(default_factory=SarRecipe, description="How a place becomes a cube")
    train: TrainSettings = Field(
        default_factory=lambda: TrainSettings.of_preset("sar"), description="How the encoder is trained"
    )
    model: Path | None = Field(None, description="Folder of a trained model to use, instead of training one")
    labels: Path | None = Field(None, description="File or folder of labels to probe: CSV or Parquet with a column id")
    format: Literal["parquet"] | None = Field(None, description="Write the cubes in this format too")
    workers: int | None = Field(None, ge=1, le=1024, description="Dask worker processes; None: one a CPU core")
    dask: str | None = Field(None, description="Address of a running Dask scheduler, instead of own workers")
    memory_gb: float | None = Field(
        None, gt=0, description="Cubes of more GB than this are read batch by batch; None: half of the memory left"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the encoder trains and embeds")

    @property
    def cubes_folder(self) -> Path:
        """The run folder of the recipe: named by it and by the hash of its settings."""
        return self.data / "cubes" / f"{self.recipe.name}-{digest_json(self.recipe.model_dump(mode='json'))[:8]}"

    def here(self) -> Settings:
        """The settings for this machine and process, which may be another than that they were resolved in: output at
        a URL has its cache here.
        """
        return self if self.data_url is None else self.model_copy(update={"data": mount(self.data_url)})


def resolve(
    *,
    data: str | Path,
    recipe: str | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    format: Literal["parquet"] | None = None,
    workers: int | None = None,
    dask: str | None = None,
) -> Settings:
    """Put settings together; what comes later in the list wins.

    Defaults, the YAML file ``config``, ``recipe`` and ``preset`` (which bring their own defaults), ``overrides``.

    Args:
        data: Output folder, or its URL.
        recipe: ``sar`` or ``original``.
        preset: ``sar`` or ``original``.
        config: YAML file with the fields of `Settings`, for example ``train: {epochs: 30}``.
        overrides: Dotted names to values, for example ``{"train.epochs": 30}``.
        format: ``parquet``: write the cubes so too.
        workers: Dask worker processes.
        dask: Address of a Dask scheduler.

    Raises:
        UsageError: A file cannot be read, a name is not known, or a value is out of range; the message names it.
    """
    tree = _read_yaml(local_path(config)) if config is not None else {}
    if recipe is not None:
        _choose(tree, "recipe", "name", recipe)
    if preset is not None:
        _choose(tree, "train", "preset", preset)
    for name, value in (overrides or {}).items():
        if name in ("data", "data_url"):
            raise UsageError("the output folder is no setting", "Give it by --data or SARPIPE_DATA")
        _put(tree, name, value)
    for name in ("model", "labels"):
        if isinstance(tree.get(name), str):
            tree[name] = str(local_path(tree[name]))
    for name, given in (("format", format), ("workers", workers), ("dask", dask)):
        if given is not None:
            tree[name] = given
    url = str(data) if is_url(data) else None
    folder = mount(url) if url else local_path(data).resolve()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "Choose another output folder with --data")
    tree |= {"data": str(folder), "data_url": url}
    return _build(tree)


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """``["train.epochs=30"]`` to ``{"train.epochs": 30}``; values are YAML.

    Raises:
        UsageError: One is not of the form NAME=VALUE.
    """
    result: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise UsageError(f"--set {text!r} is not NAME=VALUE", "For example --set train.epochs=30")
        try:
            result[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(
                f"--set {text!r}: the value cannot be understood", "For example --set train.epochs=30"
            ) from error
    return result


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A tree of settings by their dotted names: ``{"train": {"epochs": 30}}`` to ``{"train.epochs": 30}``."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return found


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"the settings file {path} is no regular file", "Check --config")
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
        if len(data) > MAX_CONFIG_BYTES:
            raise UsageError(f"{path} has more than {MAX_CONFIG_BYTES:,} bytes: it holds no settings", "Check --config")
        tree = yaml.safe_load(data.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the settings file {path}: {error.strerror}", "Check --config") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path} is not a YAML file of settings: {_where(error)}", "Check --config") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError(f"{path} holds {type(tree).__name__}, needs names with values", _EXAMPLE)
    if tree.keys() & {"data", "data_url"}:
        raise UsageError(f"{path} sets where output goes", "Give the output folder by --data or SARPIPE_DATA")
    try:
        return _with_names(tree, path)
    except RecursionError as error:
        raise UsageError(f"{path} refers to itself", _EXAMPLE) from error


def _where(error: Exception) -> str:
    """What is wrong and where, without the text around it: the file may be one that was not meant to be shown."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    return type(error).__name__


def _with_names(tree: dict[Any, Any], path: Path) -> dict[str, Any]:
    for name, value in tree.items():
        if not isinstance(name, str):
            raise UsageError(f"{path} has the name {reprlib.repr(name)}, which is no text", _EXAMPLE)
        if isinstance(value, dict):
            _with_names(value, path)
    return tree


def _choose(tree: dict[str, Any], section: str, field: str, name: str) -> None:
    """Choose a recipe or preset by name. Settings that the file makes for another one by name do not apply to it."""
    chosen = tree.get(section)
    if not isinstance(chosen, dict) or chosen.get(field, name) != name:
        chosen = {}
    tree[section] = {**chosen, field: name}


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        below = tree.setdefault(parent, {})
        if not isinstance(below, dict):
            raise UsageError(f"--set {name[:200]}: {parent[:200]} has no fields", "For example --set train.epochs=30")
        tree = below
    tree[last] = value


def _build(tree: dict[str, Any]) -> Settings:
    tree = dict(tree)
    section = ""
    try:
        if isinstance(tree.get("recipe"), dict):
            tree["recipe"] = {"name": "sar", **tree["recipe"]}
        if isinstance(tree.get("train"), dict):
            section = "train."
            tree["train"] = TrainSettings.model_validate(tree["train"])
        section = ""
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise UsageError(f"setting {_first_problem(error, section)}", "docs/concepts.md names the settings") from error


def _first_problem(error: ValidationError, section: str) -> str:
    problem = error.errors()[0]
    # Of a choice between models pydantic names the chosen one too; in a setting's name it is not.
    parts = [str(part) for part in problem["loc"] if part not in ("sar", "original")]
    where = f"{section}{'.'.join(parts)}"[:200]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if problem["type"] == "extra_forbidden":
        meant = get_close_matches(where, _names(Settings), n=1)
        return f"{where} does not exist{f'; {meant[0]} does' if meant else ''}{more}"
    # A few lines of YAML can stand for gigabytes of text.
    return f"{where} cannot be {reprlib.repr(problem.get('input'))[:200]}: {problem['msg'][:500]}{more}"


def _names(model: type[BaseModel], above: str = "") -> list[str]:
    """The settings of a model, with dots."""
    found = []
    for name, field in model.model_fields.items():
        models = [one for one in (field.annotation, *get_args(field.annotation)) if _is_model(one)]
        found.append(f"{above}{name}")
        found += [below for one in models for below in _names(one, f"{above}{name}.")]
    return found


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
