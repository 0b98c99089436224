"""Optimizers against steps worked by hand, along f(w) = w^2 / 2, whose gradient is w itself."""

import pytest
import torch
from torch import nn

from vaefill.training.optimizers import MOMENTUM, OPTIMIZERS

LR = 0.1
#: From w = 1: a plain step leaves 1 - .1 of w; momentum then steps by .9 + .9 = 1.8; Adam's first
#: step is lr whatever the gradient, its second lr m / sqrt(v) with m and v as in its paper.
SECOND_OF_ADAM = ((0.9 * 0.1 + 0.1 * 0.9) / (1 - 0.9**2)) / (
    ((0.999 * 0.001 + 0.001 * 0.9**2) / (1 - 0.999**2)) ** 0.5
)
STEPS = {
    "sgd": (0.9, 0.81),
    "momentum": (0.9, 0.9 - LR * (0.9 * 1 + 0.9)),
    "adam": (0.9, 0.9 - LR * SECOND_OF_ADAM),
}


def walk(name, gradient, n, lr=LR):
    """Where a weight that begins at 1 is after each of n steps."""
    weight = nn.Linear(1, 1, bias=False)
    nn.init.ones_(weight.weight)
    optimizer = OPTIMIZERS[name](weight, lr)
    places = []
    for _ in range(n):
        weight.weight.grad = torch.full((1, 1), float(gradient(weight.weight.item())))
        optimizer.step()
        places.append(weight.weight.item())
    return places


@pytest.mark.parametrize("name", STEPS)
def test_two_steps_are_those_worked_by_hand(name):
    assert walk(name, lambda w: w, 2) == pytest.approx(STEPS[name], abs=1e-6)


def test_momentum_goes_ten_times_as_far_as_sgd_in_the_long_run():
    """Of a constant gradient: shares 1 + .9 + .81 + ... of it add up to 10."""
    first, last = walk("momentum", lambda _: 1.0, 300, lr=1e-3)[-2:]
    plain = walk("sgd", lambda _: 1.0, 2, lr=1e-3)
    assert (first - last) / (plain[0] - plain[1]) == pytest.approx(1 / (1 - MOMENTUM), rel=1e-3)
