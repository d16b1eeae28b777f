import pytest

from sarpipe.errors import UsageError
from sarpipe.study.choices import CHOICES, PRESET, named, without
from sarpipe.train import TrainSettings


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_a_variant_differs_in_its_choice_alone(choice) -> None:
    default = TrainSettings.of_preset("sar", epochs=7, seed=3)
    variant = without(choice, default)

    def flat(settings: TrainSettings) -> dict[str, object]:
        fields = settings.model_dump()
        return fields | fields.pop("views")

    before, after = flat(default), flat(variant)
    changed = {name for name in before if before[name] != after[name]}
    assert changed
    assert changed <= set(choice.overrides.get("views", choice.overrides))


def test_the_preset_keeps_budget_and_seed() -> None:
    variant = without(PRESET, TrainSettings.of_preset("sar", epochs=7, seed=3))
    assert variant == TrainSettings.of_preset("original", epochs=7, seed=3)


def test_choices_are_found_by_name_in_the_order_of_the_list() -> None:
    assert named(None) == (*CHOICES, PRESET)
    assert [choice.name for choice in named(["preset", "speckle", "crop"])] == ["crop", "speckle", "preset"]
    with pytest.raises(UsageError, match="no choice 'sparkle'") as caught:
        named(["sparkle", "crop"])
    assert "speckle" in caught.value.hint


def test_a_choice_that_the_default_does_not_have_is_named() -> None:
    (temperature,) = named(["temperature"])
    with pytest.raises(UsageError, match="'temperature' does not apply"):
        without(temperature, TrainSettings.of_preset("sar", loss="vicreg"))
