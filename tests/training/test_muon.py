"""Muon against the singular value decomposition, PyTorch's own, and Adam; steps by name."""

import copy
import math

import pytest
import torch
from exact import gen
from torch import nn

from vaefill.training.optimizers import OPTIMIZERS, Muon, orthogonalised

SHAPES = [(8, 30), (30, 8), (8, 30), (6, 2, 3, 3), (16, 16)]


def parameters(shapes=SHAPES, seed=0) -> list[nn.Parameter]:
    generator = gen(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def give_gradients(params: list[nn.Parameter], seed: int) -> None:
    generator = gen(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)


def run(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], *, steps=range(5)) -> None:
    for step in steps:
        give_gradients(params, 100 + step)
        optimizer.step()


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_singular_values_come_near_one_and_singular_vectors_stay(size):
    x = size * torch.randn(5, 12, 40, generator=gen(), dtype=torch.float64)
    u, _, vt = torch.linalg.svd(x, full_matrices=False)
    turned = u.mT @ orthogonalised(x) @ vt.mT  # diagonal: a polynomial of the singular values
    values = turned.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(turned, torch.diag_embed(values), rtol=0, atol=1e-10)
    assert values.min() > 0.68
    assert values.max() < 1.14


def test_no_gradient_is_no_step():
    assert not orthogonalised(torch.zeros(3, 4)).any()


def test_first_step_by_hand():
    # beta M + (1 - beta) G is a multiple of the gradient, and orthogonalised U V^T.
    (weight,) = parameters([(20, 6)])
    before = weight.detach().clone()
    give_gradients([weight], 1)
    u, _, vt = torch.linalg.svd(weight.grad, full_matrices=False)
    Muon([weight], lr=0.01).step()
    moved = (before - weight) / (0.01 * math.sqrt(20))
    values = (u.mT @ moved @ vt.mT).diagonal()
    assert values.min() > 0.67
    assert values.max() < 1.15
    torch.testing.assert_close(moved, u @ values.diag() @ vt, rtol=0, atol=1e-4)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch before 2.9 has none")
def test_matrices_move_as_by_pytorchs_own():
    ours, theirs = parameters(SHAPES[:3]), parameters(SHAPES[:3])
    before = [p.detach().clone() for p in ours]
    run(Muon(ours, lr=0.002), ours)
    # Its factor is a fifth of ours.
    settings = {"weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}
    run(torch.optim.Muon(theirs, lr=0.01, **settings), theirs)
    for start, own, other in zip(before, ours, theirs, strict=True):
        # It computes in bfloat16, to about three digits.
        torch.testing.assert_close(own - start, other - start, rtol=0, atol=4e-4)


def test_kernels_move_as_one_matrix_with_a_row_per_output_channel():
    (kernels,) = parameters([(6, 2, 3, 3)])
    channels_last = nn.Parameter(kernels.detach().to(memory_format=torch.channels_last))
    matrix = nn.Parameter(kernels.detach().flatten(1).clone())
    optimizers = [Muon([p], lr=0.01) for p in (kernels, channels_last, matrix)]
    for step in range(5):
        give_gradients([kernels, channels_last], step)
        channels_last.grad = kernels.grad.to(memory_format=torch.channels_last)
        matrix.grad = kernels.grad.flatten(1)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(kernels.flatten(1), matrix)
    torch.testing.assert_close(channels_last, kernels)


def test_together_as_alone():
    together, alone = parameters(), parameters()
    optimizers = [Muon(together, lr=0.01), *(Muon([p], lr=0.01) for p in alone)]
    for step in range(5):
        for params in (together, alone):
            give_gradients(params, step)
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_vectors_move_as_by_adam():
    ours, theirs = parameters([(7,), (3,)]), parameters([(7,), (3,)])
    run(Muon(ours, lr=0.01), ours)
    run(torch.optim.Adam(theirs, lr=0.01, foreach=False, fused=False), theirs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_state_is_all_that_a_resumed_run_needs():
    whole = parameters([*SHAPES, (7,)])
    optimizer = Muon(whole, lr=0.01)
    run(optimizer, whole, steps=range(3))
    resumed = [nn.Parameter(p.detach().clone()) for p in whole]
    other = Muon(resumed, lr=0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    run(optimizer, whole, steps=range(3, 6))
    run(other, resumed, steps=range(3, 6))
    assert all(torch.equal(one, two) for one, two in zip(whole, resumed, strict=True))


def test_parameters_without_gradient_stay():
    moving, still = parameters([(4, 5), (4, 5)])
    before = still.detach().clone()
    give_gradients([moving], 0)
    Muon([moving, still], lr=0.01).step()
    assert torch.equal(still, before)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_goes_downhill(name):
    model = nn.Linear(3, 2)
    x = torch.randn(50, 3, generator=gen())
    optimizer = OPTIMIZERS[name](model, 0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
