from __future__ import annotations

import copy
import re

import pytest
import torch

from sarpipe.model import channel_statistics
from sarpipe.train import TrainSettings
from sarpipe.train.loop import fresh_state
from sarpipe.train.places import Places
from sarpipe.train.plan import Plan
from sarpipe.train.step import WARM_UP, Step

CPU = torch.device("cpu")


def ready(places, preset="sar", device=CPU, **changes):
    settings = TrainSettings.of_preset(preset, **{"batch_size": 4, "epochs": 4, **changes})
    plan = Plan.of(settings, len(places.ids), device)
    state = fresh_state(settings, plan, *channel_statistics(places.cubes), device)
    return state, plan, settings, Places(places, device, with_frames=settings.views.date_subset > 0)


@pytest.mark.parametrize("preset", ["sar", "original"])
def test_a_step_is_the_textbook_one(toy_places, preset):
    state, plan, settings, places = ready(toy_places(4), preset)
    batch = places.batch(torch.arange(4))
    plain = copy.deepcopy(state)
    matrices, others = ([p for p in plain.objective.parameters() if (p.ndim > 1) is big] for big in (True, False))
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups)
    step = Step(state, plan, settings)
    for number in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)  # of dropout
            loss = plain.objective(batch, epoch=1).loss
        optimiser.zero_grad()
        loss.backward()
        if settings.gradient_clip:
            torch.nn.utils.clip_grad_norm_(plain.objective.parameters(), settings.gradient_clip)
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate(number)
        optimiser.step()
        if plain.average is not None:
            averaged, current = plain.average.state_dict(), plain.objective.encoder.state_dict()
            for name, mean in averaged.items():
                decay = plan.ema_decay(number) if mean.is_floating_point() else 0
                mean.copy_(decay * mean + (1 - decay) * current[name])
        assert step(batch, 1).loss.item() == pytest.approx(loss.item(), abs=1e-5)
    assert state.step == 2
    assert_same(state.objective, plain.objective)
    if plain.average is not None:
        assert_same(state.average, plain.average)


def assert_same(one, other):
    found, wanted = one.state_dict(), other.state_dict()
    # BatchNorm takes away the bias of the convolution before it: its gradient is rounding alone.
    for name in (name for name in found if not re.search(r"conv\.\d\.0\.bias", name)):
        torch.testing.assert_close(found[name], wanted[name], atol=2e-4, rtol=1e-3)


def moved(state, start):
    """How far each kind of tensor has come from where it was, as one vector each."""
    kinds = {
        "weights": r"objective\..*(weight|bias)",
        "their mean": r"average\..*(weight|bias)",
        "BatchNorm": r".*running_(mean|var)",
        "counts": r".*num_batches_tracked|adam\..*\.step",
        "moments": r"adam\..*exp_avg(_sq)?",
    }
    change = {name: (tensor.float() - start[name]).flatten() for name, tensor in state.tensors().items()}
    found = {kind: [change[name] for name in change if re.fullmatch(names, name)] for kind, names in kinds.items()}
    return {kind: torch.cat(parts) for kind, parts in found.items() if parts}


def taken(places, steps, device, **changes):
    """The losses of some steps, and how far they have moved the state; the learning rate falls from step to step."""
    capture = changes.pop("capture", True)
    state, plan, settings, data = ready(places, device=device, **changes)
    start = {name: tensor.float().clone() for name, tensor in state.tensors().items()}
    step = Step(state, plan, settings, capture=capture)
    rows = [torch.arange(8).roll(number)[:4] for number in range(steps)]
    losses = [step(data.batch(row), number).loss.item() for number, row in enumerate(rows)]
    return losses, moved(state, start), step


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("preset", ["sar", "original"])
def test_captured_steps_are_those_that_are_not(toy_places, preset, precision, caplog):
    """Losses, weights, their mean and Adam's moments: what is frozen in a graph moves them otherwise by a fifth.

    Weights that differ by 1e-7 do so by 0.4 % in float32, and by 16 % in bfloat16, which therefore cannot tell as much.
    """
    steps, gpu = WARM_UP + 5, torch.device("cuda")
    (captured, there, step), (plain, wanted, _) = (
        taken(toy_places(8), steps, gpu, preset=preset, precision=precision, capture=capture)
        for capture in (True, False)
    )
    assert not caplog.records
    assert step._captured is not None
    assert len(set(captured)) == len(captured)
    exact = precision == "fp32"
    assert captured == pytest.approx(plain, abs=1e-2 if exact else 0.2)
    assert torch.equal(there.pop("counts"), wanted.pop("counts"))
    for kind, movement in wanted.items():
        assert (there[kind] - movement).norm() < (0.05 if exact else 0.4) * movement.norm(), kind


@pytest.mark.parametrize("preset", ["sar", "original"])
def test_steps_in_bfloat16_come_near_those_in_float32(toy_places, preset):
    (short, moves, step), (long, wanted, _) = (
        taken(toy_places(8), 3, CPU, preset=preset, precision=precision) for precision in ("bf16", "fp32")
    )
    assert short == pytest.approx(long, abs=0.1)
    assert short != long
    assert all(tensor.dtype != torch.bfloat16 for tensor in step._state.tensors().values())
    assert (moves["weights"] - wanted["weights"]).norm() < 0.5 * wanted["weights"].norm()


def test_movement_tells_a_frozen_learning_rate(toy_places, monkeypatch):
    """What the test of captured steps goes by sees what it is meant to see."""
    _, right, _ = taken(toy_places(8), WARM_UP + 5, CPU)
    learning_rate = Plan.learning_rate
    monkeypatch.setattr(Plan, "learning_rate", lambda plan, step: learning_rate(plan, min(step, WARM_UP)))
    _, frozen, _ = taken(toy_places(8), WARM_UP + 5, CPU)
    for kind in ("weights", "their mean"):
        assert (frozen[kind] - right[kind]).norm() > 0.15 * right[kind].norm()
