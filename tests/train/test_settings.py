from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sarpipe.train import TrainSettings


def test_importing_the_settings_does_not_import_torch():
    code = "import sys, sarpipe.train.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_presets_say_what_they_stand_for():
    sar, original = TrainSettings.of_preset("sar"), TrainSettings.of_preset("original")
    assert sar == TrainSettings()
    assert (sar.loss, sar.views.symmetry, sar.views.crop_min, sar.neighbour_km) == ("dcl", "dihedral", 0.8, 5)
    assert (original.loss, original.temperature, original.epochs) == ("nt_xent", 0.5, 10)
    assert (original.batch_size, original.learning_rate, original.weight_decay) == (64, 1e-4, 0)
    assert (original.ema, original.neighbour_km, original.views.date_subset) == (0, 0, 0)


@given(st.sampled_from(["sar", "original"]), st.integers(1, 50), st.floats(0.2, 1))
def test_settings_are_the_same_after_json_and_overrides_touch_nothing_else(preset, epochs, crop_min):
    plain = TrainSettings.of_preset(preset)
    changed = TrainSettings.of_preset(preset, epochs=epochs, views={"crop_min": crop_min})
    assert TrainSettings.model_validate_json(changed.model_dump_json()) == changed
    assert changed.views == plain.views.model_copy(update={"crop_min": crop_min})
    assert changed == plain.model_copy(update={"epochs": epochs, "views": changed.views})


@pytest.mark.parametrize("preset", ["sar", "original"])
@pytest.mark.parametrize("loss", ["vicreg", "barlow_twins"])
def test_what_a_loss_without_negatives_has_no_use_for_is_refused_and_never_ignored(preset, loss):
    settings = TrainSettings.of_preset(preset, loss=loss)
    assert (settings.temperature, settings.neighbour_km) == (None, 0)
    assert TrainSettings.model_validate_json(settings.model_dump_json()) == settings
    for name, value in (("temperature", 0.2), ("neighbour_km", 5)):
        with pytest.raises(ValidationError, match=f"{loss} has no negatives: leave {name} out"):
            TrainSettings.of_preset(preset, loss=loss, **{name: value})


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "best"},
        {"epochs": 0},
        {"batch_size": 1},
        {"temperature": 0},
        {"learning_rat": 1},
        {"views": {"crop": 1}},
        {"views": {"blur": [2, 0]}},
        {"views": 3},
    ],
)
def test_what_is_out_of_range_or_unknown_is_refused(wrong):
    with pytest.raises(ValidationError):
        TrainSettings.model_validate(wrong)


def test_every_field_is_described():
    fields = {**TrainSettings.model_fields, **type(TrainSettings().views).model_fields}
    assert [name for name, field in fields.items() if not field.description] == []
