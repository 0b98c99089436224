import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from exact import gen

from vaefill.errors import InputError
from vaefill.models.divergences import exact_kl
from vaefill.models.elbo import elbo
from vaefill.models.likelihoods import Bernoulli
from vaefill.models.vae import VAE
from vaefill.training.fit import SCHEDULES, DivergedError, Epoch, fit, work
from vaefill.training.optimizers import OPTIMIZERS

FAMILIES = [("gauss", None), ("t", 5.0)]


def make(family: str, df: float | None) -> VAE:
    return VAE(family, df=df, pixels=64, hidden=[32, 16], latent=2, generator=gen(0))


def train(vae: VAE, images: torch.Tensor, **settings) -> list[Epoch]:
    settings = {"epochs": 4, "batch_size": 16, "lr": 0.01} | settings
    return fit(vae, images[:50], images[50:], generator=gen(), **settings)


class Memory:
    """A checkpoint in memory that keeps every state, as bytes cannot change under it."""

    def __init__(self, state=None):
        self.states = [] if state is None else [state]

    def load(self):
        return self.states[-1] if self.states else None

    def save(self, state):
        self.states.append(
            torch.utils._pytree.tree_map(
                lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf, state
            )
        )


def weights(vae: VAE) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(vae.parameters())


@pytest.mark.parametrize(("family", "df"), FAMILIES)
def test_training_learns_more_than_the_mean_image(digits, family, df):
    vae = make(family, df)
    seen: list[Epoch] = []
    history = train(vae, digits, epochs=30, progress=seen.append)
    assert seen == history
    assert [row.epoch for row in history] == list(range(1, 31))
    mean_image = Bernoulli(torch.logit(digits[:50].mean(0))).log_prob(digits[:50])
    assert history[-1].train_loss < 0.9 * -mean_image.mean().item()
    for row in history:
        assert row.train_loss == pytest.approx(row.train_reconstruction + row.train_kl)
        assert row.valid_loss == pytest.approx(row.valid_reconstruction + row.valid_kl)


def test_first_step_is_adams(digits):
    # Adam's first step moves every weight by lr against the sign of its gradient.
    vae = make("gauss", None)
    before = weights(vae).detach().clone()
    train(vae, digits, epochs=1, batch_size=50, lr=1e-3)
    moved = (weights(vae) - before).abs()
    moved = moved[moved > 0]
    torch.testing.assert_close(moved.median(), torch.tensor(1e-3), rtol=1e-2, atol=0)
    assert moved.max() < 1.01e-3


@pytest.mark.parametrize(
    ("family", "df", "schedule", "optimizer"),
    [
        ("gauss", None, "constant", "adam"),
        ("t", 5.0, "one_cycle", "adam"),
        ("gauss", None, "one_cycle", "muon"),
    ],
)
@pytest.mark.parametrize("stop", [1, 3])
def test_resumed_run_is_bit_identical(digits, family, df, schedule, optimizer, stop):
    memory = Memory()
    settings = {
        "schedule": schedule, "warmup": 0.4, "optimizer": optimizer,
        "bound": partial(elbo, kl="quadrature"),
    }  # fmt: skip
    whole = make(family, df)
    history = train(whole, digits, checkpoint=memory, **settings)
    resumed = make(family, df)
    state = Memory(memory.states[stop - 1])
    assert train(resumed, digits, checkpoint=state, **settings) == history
    assert torch.equal(weights(resumed), weights(whole))
    again = make(family, df)  # the same seed gives the same bytes, with or without a checkpoint
    assert train(again, digits, **settings) == history
    assert torch.equal(weights(again), weights(whole))


def test_batches_of_unequal_size_count_by_their_images(digits):
    # A rate of almost 0 leaves the weights alone: the mean must not depend on the batches.
    losses = [
        train(make("gauss", None), digits, epochs=1, batch_size=size, lr=1e-12)[0].train_kl
        for size in (50, 16)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def rates(schedule: str, *, steps: int, **settings) -> list[float]:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=settings["lr"])
    scheduler = SCHEDULES[schedule](optimizer, steps=steps, **settings)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    return seen


def test_one_cycle_by_hand():
    # 21 steps, the peak at the end of the first 0.2 * 21: at step 3.2, between two steps.
    lr, warmup, step = 0.3, 0.2, np.arange(21)
    peak, rising = warmup * 21 - 1, step <= warmup * 21 - 1
    share = np.where(rising, step / peak, (20 - step) / (20 - peak))
    low = np.where(rising, lr / 25, lr / 25e4)
    expected = low + (lr - low) * (1 - np.cos(np.pi * share)) / 2
    seen = rates("one_cycle", lr=lr, steps=21, warmup=warmup)
    assert seen == pytest.approx(expected)
    assert seen[0] == pytest.approx(lr / 25)
    assert seen[-1] < 1e-5 * lr
    assert rates("constant", lr=lr, steps=7, warmup=warmup) == [lr] * 7
    # With a whole number of steps in the warmup one of them has the peak itself.
    assert rates("one_cycle", lr=lr, steps=20, warmup=0.2)[3] == pytest.approx(lr)


@pytest.mark.parametrize("steps", [3, 10, 49])
def test_a_warmup_of_one_step_begins_at_the_peak(steps):
    seen = rates("one_cycle", lr=0.3, steps=steps, warmup=1 / steps)
    assert seen[0] == pytest.approx(0.3)
    # From there it falls along the cosine of all schedules, through the half and to 0.
    expected = 0.15 * (1 + np.cos(np.pi * np.arange(steps) / (steps - 1)))
    assert seen == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_training_follows_the_schedule(digits, schedule):
    memory = Memory()
    train(make("gauss", None), digits, schedule=schedule, warmup=0.4, checkpoint=memory)
    per_epoch, epochs = 4, 4  # 50 images in batches of 16
    expected = rates(schedule, lr=0.01, steps=per_epoch * epochs, warmup=0.4)
    for epoch, state in enumerate(memory.states[:-1], start=1):
        (group,) = state["optimizer"]["param_groups"]
        assert group["lr"] == pytest.approx(expected[per_epoch * epoch])


@pytest.mark.parametrize(
    ("family", "df", "kl"),
    [("gauss", None, "monte_carlo"), ("t", 5.0, "monte_carlo"), ("t", 5.0, "quadrature")],
)
@pytest.mark.parametrize("kl_weight", [0.0, 0.25, 1.0])
def test_one_step_by_hand(digits, family, df, kl, kl_weight):
    # One batch holds all images: the epoch's loss is that of the initial weights.
    vae, generator = make(family, df), gen()
    order = torch.randperm(50, generator=generator)
    bound = elbo(vae, digits[:50][order], generator, kl=kl)
    parts = []
    for term in (-bound.reconstruction.mean(), bound.kl.mean()):
        gradients = torch.autograd.grad(
            term, list(vae.parameters()), retain_graph=True, materialize_grads=True
        )
        parts.append(torch.nn.utils.parameters_to_vector(gradients))
    fitted = make(family, df)
    settings = {
        "epochs": 1, "batch_size": 50, "kl_weight": kl_weight, "bound": partial(elbo, kl=kl),
    }  # fmt: skip
    (row,) = train(fitted, digits, **settings)
    gradient = torch.nn.utils.parameters_to_vector(p.grad for p in fitted.parameters())
    torch.testing.assert_close(gradient, parts[0] + kl_weight * parts[1])
    # The history is that of the ELBO, whatever the weight.
    assert row.train_reconstruction == pytest.approx(-bound.reconstruction.mean().item())
    assert row.train_kl == pytest.approx(bound.kl.mean().item(), abs=1e-6)
    assert row.train_loss == pytest.approx(row.train_reconstruction + row.train_kl)


def test_validation_by_quadrature_has_the_exact_kl_of_the_last_weights(digits):
    vae = make("t", 5.0)
    row = train(vae, digits, bound=partial(elbo, kl="quadrature"))[-1]
    posterior = vae.posterior(digits[50:])
    assert row.valid_kl == pytest.approx(exact_kl(posterior, vae.prior).mean().item())


def test_clipped_gradients_are_as_long_as_asked(digits):
    lengths, before = [], weights(make("gauss", None)).detach()
    for clip in (None, 1e9, 1e-10):
        vae = make("gauss", None)
        train(vae, digits, clip=clip)
        lengths.append((weights(vae) - before).norm().item())
    assert lengths[0] == lengths[1]
    # Adam divides a gradient by its size, but not one as small as its eps, 1e-8.
    assert 0 < lengths[2] < 0.01 * lengths[0]


def test_work_by_hand(digits):
    # A product of n x i with i x o is 2 n i o operations; forwards, and backwards by weights and,
    # but for the image, by inputs.
    vae, n = make("gauss", None), 16
    widths = [(64, 32), (32, 16), (16, 4), (2, 16), (16, 32), (32, 64)]
    products = sum(3 * i * o for i, o in widths) - 64 * 32
    history = train(vae, digits, epochs=3, batch_size=n)
    per_epoch = (
        4 * 2 * n * products * 1e-12
    )  # 50 images are four batches, the last one counted whole
    assert [row.tflop for row in history] == pytest.approx(
        [per_epoch, 2 * per_epoch, 3 * per_epoch]
    )


def test_counting_the_work_leaves_the_training_alone(digits):
    vae, settings = make("t", 5.0), {"make": OPTIMIZERS["muon"], "bound": elbo}
    before, state = copy.deepcopy(vae.state_dict()), torch.get_rng_state()
    counts = [work(vae, digits[:n], **settings) for n in (10, 10, 20)]
    assert counts[0] == counts[1] < counts[2] < 2 * counts[0], "the optimizer's do not grow with n"
    assert all(torch.equal(vae.state_dict()[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in vae.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_unknown_schedule_is_refused(digits):
    with pytest.raises(InputError, match="schedule = 'cosine': must be one of constant, one_cycle"):
        train(make("t", 5.0), digits, schedule="cosine")


@pytest.mark.parametrize(
    ("part", "bias", "terms"),
    [("encoder", math.inf, "(reconstruction|kl)"), ("decoder", math.nan, "reconstruction")],
)
def test_divergence_names_epoch_batch_and_term(digits, part, bias, terms):
    vae = make("gauss", None)
    with torch.no_grad():
        getattr(vae, part).layers[-1].bias.fill_(bias)
    with pytest.raises(DivergedError, match=rf"epoch 1, batch 1: {terms} = (nan|inf)") as error:
        train(vae, digits)
    assert error.value.epoch == 1


def test_divergence_in_a_later_batch_is_placed(digits):
    images = digits.clone()
    images[7] = math.nan
    batch = torch.randperm(50, generator=gen()).tolist().index(7) // 16 + 1
    with pytest.raises(InputError, match=rf"epoch 1, batch {batch}: reconstruction = nan"):
        train(make("gauss", None), images)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("family", "df"), FAMILIES)
def test_cuda_learns_resumes_and_starts_from_the_weights_of_the_cpu(digits, family, df):
    device, memory = torch.device("cuda"), Memory()
    images = digits.to(device)

    def run(checkpoint: Memory) -> tuple[list[Epoch], torch.Tensor]:
        vae = make(family, df).to(device)
        generator = torch.Generator(device).manual_seed(1)
        settings = {"epochs": 4, "batch_size": 16, "lr": 0.01, "generator": generator}
        history = fit(vae, images[:50], images[50:], **settings, checkpoint=checkpoint)
        return history, weights(vae)

    history, whole = run(memory)
    again, resumed = run(Memory(memory.states[1]))
    assert again == history
    assert torch.equal(resumed, whole)
    assert history[-1].train_loss < history[0].train_loss
