from pathlib import Path

import pytest

from sarpipe.errors import UsageError
from sarpipe.settings import parse_overrides, resolve


def test_later_sources_win(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("train: {preset: sar, epochs: 7, seed: 5}\nworkers: 3\n")
    settings = resolve(data=tmp_path, config=config, overrides={"train.epochs": 9}, workers=2)
    assert (settings.train.epochs, settings.train.seed, settings.workers) == (9, 5, 2)


def test_a_preset_brings_its_own_defaults_and_drops_settings_made_for_another(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("train: {preset: sar, epochs: 7}\nrecipe: {name: sar, looks: 10}\n")
    settings = resolve(data=tmp_path, config=config, preset="original", recipe="original")
    assert settings.train == resolve(data=tmp_path, preset="original").train
    assert settings.train.epochs == 10
    assert settings.recipe.name == "original"


def test_settings_of_a_file_that_names_no_preset_apply_to_any(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("train: {epochs: 2}\n")
    assert resolve(data=tmp_path, config=config, preset="original").train.epochs == 2


def test_the_folder_of_cubes_follows_the_recipe_alone(tmp_path: Path) -> None:
    plain = resolve(data=tmp_path)
    assert resolve(data=tmp_path, overrides={"train.epochs": 3}, workers=7).cubes_folder == plain.cubes_folder
    assert resolve(data=tmp_path, overrides={"recipe.looks": 5.0}).cubes_folder != plain.cubes_folder
    assert resolve(data=tmp_path, recipe="original").cubes_folder.name.startswith("original-")


def test_the_data_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve(data="out").data == tmp_path / "out"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"train.epoch": 3}, "train.epoch does not exist; train.epochs does"),
        ({"train.epochs": 0}, "train.epochs cannot be 0"),
        ({"recipe.name": "best"}, "recipe"),
        ({"recipe.looks": "many"}, "looks cannot be 'many'"),
        ({"bogus": 1}, "bogus does not exist. docs"),
        ({"workers": 3, "workers.more": 1}, "workers"),
        ({"data": "elsewhere"}, "--data"),
        ({"train.cls": 3}, "train.cls does not exist"),
        ({"train": 3}, "train"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, overrides: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        resolve(data=tmp_path, overrides=overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["train: {1: 2}\n", "2: 3\n", "- a\n- b\n", "{", "data: /elsewhere\n", "!!python/object:os.system {}\n"]
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(text)
    with pytest.raises(UsageError, match=r"settings\.yaml"):
        resolve(data=tmp_path, config=config)


def test_overrides_are_typed_by_yaml() -> None:
    assert parse_overrides(["a.b=3", "c=1e-3", "d=null", "e=[1, 2]"]) == {"a.b": 3, "c": "1e-3", "d": None, "e": [1, 2]}


@pytest.mark.parametrize("text", ["a", "=3", "a=[1"])
def test_overrides_have_a_form(text: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        parse_overrides([text])
