"""Two real processes, over gloo on the loopback."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch
from torch import distributed, nn

from sarpipe.errors import UsageError
from sarpipe.ssl.processes import SharedBatchNorm, gathered, share, share_batch_norms, sum_gradients
from sarpipe.train import TrainSettings
from sarpipe.train.loop import train

LOSSES, WEIGHTS = 5e-3, 5e-3
"""Largest differences allowed between one process and two after ten steps: losses, and weights with the statistics of
BatchNorm (Adam moves a weight by about the learning rate a step, 1e-4, whatever the size of its gradient; seen: 2.0e-3
and 1.4e-3)."""


def one_of_two(target, rank, folder, answers, arguments):
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo"}
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    try:
        answers.send(target(*arguments))
    finally:
        distributed.destroy_process_group()


@pytest.fixture
def both(forkserver, tmp_path):
    """Call a function in two processes of one group; what each gives, or their exit codes where they end otherwise."""

    def call(target, *arguments):
        pipes = [multiprocessing.Pipe(duplex=False) for _ in range(2)]
        (tmp_path / "meeting").unlink(missing_ok=True)
        children = [
            forkserver.Process(target=one_of_two, args=(target, rank, tmp_path, theirs, arguments))
            for rank, (_, theirs) in enumerate(pipes)
        ]
        for child in children:
            child.start()
        for _, theirs in pipes:
            theirs.close()
        results = []
        for child, (ours, _) in zip(children, pipes, strict=True):
            try:
                results.append(ours.recv() if ours.poll(120) else None)
            except EOFError:
                child.join(60)
                results.append(child.exitcode)
            child.join(60)
        return results

    return call


def settings(**overrides):
    return TrainSettings(**{"epochs": 5, "batch_size": 6, "learning_rate": 1e-4, "warmup_epochs": 0, **overrides})


def content(result):
    weights = {name: value.numpy().copy() for name, value in result.encoder.state_dict().items()}
    return weights, result.losses["loss"].to_numpy(), result.monitors.to_numpy(), result.facts


def train_together(places, options, folder, stop_at):
    def stop(done, steps, loss):
        if done == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    # Only the first process is told to stop: both have to, after the same step.
    progress = stop if stop_at and distributed.get_rank() == 0 else None
    return content(train(places, options, folder, device="cpu", checkpoint_seconds=3600, progress=progress))


def test_two_processes_are_one_to_tolerance_also_when_they_are_stopped(toy_places, tmp_path, both):
    places = toy_places(12)
    options = settings()
    weights, losses, monitors, _ = content(train(places, options, tmp_path / "one", device="cpu"))
    assert both(train_together, places, options, tmp_path / "two", 4) == [-signal.SIGTERM] * 2
    (saved,) = (tmp_path / "two").iterdir()
    assert saved.name.startswith("step-000000005-")
    first, second = both(train_together, places, options, tmp_path / "two", 0)
    assert first[3]["resumed_from_step"] == 5
    assert all(np.array_equal(first[0][name], second[0][name]) for name in weights)
    assert np.abs(first[1] - losses).max() < LOSSES
    assert max(np.abs(first[0][name] - weights[name]).max() for name in weights) < WEIGHTS
    np.testing.assert_allclose(first[2], monitors, rtol=1e-2)


def gradients(x, weight):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5), nn.BatchNorm1d(5))
    module = module.double()
    share_batch_norms(module)
    out = gathered(module(share(x)))
    (out * weight).square().logsumexp(0).sum().backward()
    sum_gradients(module.parameters())
    state = module.state_dict()
    return {name: p.grad.numpy() for name, p in module.named_parameters()}, {n: t.numpy() for n, t in state.items()}


def test_gradients_and_statistics_of_two_processes_are_those_of_one(both):
    random = torch.Generator().manual_seed(1)
    x = torch.randn(6, 3, 8, 8, generator=random, dtype=torch.float64)
    weight = torch.randn(6, 5, generator=random, dtype=torch.float64)
    alone = gradients(x, weight)
    for found in both(gradients, x, weight):
        for one, other in zip(alone, found, strict=True):
            for name in one:
                np.testing.assert_allclose(other[name], one[name], atol=1e-10, err_msg=name)


def test_a_shared_batch_norm_reads_and_writes_the_state_of_a_plain_one():
    plain = nn.BatchNorm2d(3)
    plain(torch.randn(4, 3, 5, 5))
    shared = SharedBatchNorm.of(plain)
    assert shared.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(shared.eval()(x), plain.eval()(x))
    nn.BatchNorm2d(3).load_state_dict(shared.state_dict())


def refuse(places, folder):
    with pytest.raises(UsageError, match="cannot be shared evenly by 2 processes") as caught:
        train(places, settings(batch_size=5), folder, device="cpu")
    return caught.value.hint


def test_a_batch_that_cannot_be_shared_evenly_is_refused(toy_places, tmp_path, both):
    assert both(refuse, toy_places(8), tmp_path) == ["--set train.batch_size=4"] * 2
