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
    default = TrainSettings.of_preset("sar")
    assert named(None, default) == (*CHOICES, PRESET)
    assert [choice.name for choice in named(["preset", "speckle", "crop"], default)] == ["crop", "speckle", "preset"]
    assert named([], default) == ()
    with pytest.raises(UsageError, match="no choice 'sparkle'") as caught:
        named(["sparkle", "crop"], default)
    assert "speckle" in caught.value.hint


def test_choices_that_the_default_does_not_make_are_left_out_or_named() -> None:
    vicreg = TrainSettings.of_preset("sar", loss="vicreg", views={"speckle": 0})
    left = {choice.name for choice in (*CHOICES, PRESET)} - {choice.name for choice in named(None, vicreg)}
    # It has no negatives, and adds no speckle as it is.
    assert left == {"loss_vicreg", "temperature", "neighbours", "speckle"}
    for name in left:
        with pytest.raises(UsageError, match=f"{name!r} is none of this default"):
            named([name], vicreg)
