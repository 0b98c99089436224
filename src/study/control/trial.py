"""One table from a known truth, the models that learn from it, and how well each fills it in.

Scores are of the same hidden cells for all models, and beside them of the truth itself, the
oracle: the most that any model can reach. It learns an encoder and no more, because codes are
searched from where an encoder puts them. Errors are in standard deviations of the columns.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from study.control.cases import CODES, COVERAGE, DIVERGED, LOG_LIKELIHOOD, MODELS, ORACLE, TRUTHS
from study.control.learning import learn, start
from study.control.model import BentEncoder, FactorModel
from vaefill.inference.laplace import laplace_mixture
from vaefill.inference.mixtures import Mixture
from vaefill.inference.modes import find_modes
from vaefill.inference.selfnormalised import weigh, weighted
from vaefill.metrics.calibration import central_interval, crps
from vaefill.training.fit import DivergedError

#: Standard deviations of the weights of a truth, of its first and of its second layer.
WEIGHTS = (0.7, 0.5)
#: Of the proposals around the modes: degrees of freedom, and the prior's share. It is half: where
#: few cells are observed, a posterior is nearly as broad, and has modes that no climb finds.
PROPOSALS_DF, DEFENSIVE = 5.0, 0.5
#: Of the intervals of `COVERAGE`.
LEVEL = 0.9


def make_truth(
    truth: str,
    codes: str,
    *,
    df: float,
    columns: int,
    latent: int,
    noise: float,
    generator: torch.Generator,
) -> FactorModel:
    """Make a model whose codes have one variance whatever their law.

    Its weights are random, and frozen but for those of an encoder like the models' own.

    Parameters
    ----------
    truth, codes : str
        Keys of `TRUTHS` and of `CODES`.
    df : float
        Degrees of freedom of the t codes, above 2.
    columns, latent : int
        See `study.control.model.FactorModel`.
    noise : float
        Standard deviation of the noise.
    generator : torch.Generator
        Source of the weights.
    """
    hidden, hidden_of_encoder = TRUTHS[truth]
    sizes = {"columns": columns, "latent": latent, "hidden": hidden}
    model = FactorModel(CODES[codes], df=df, **sizes, generator=generator)
    straight, bend = model.decoder.straight, model.decoder.bend
    layers = [bend[0], bend[-1]] if bend else [straight]
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            nn.init.zeros_(parameter)
        for layer, sd in zip(layers, WEIGHTS, strict=False):
            nn.init.normal_(layer.weight, std=sd, generator=generator)
        # Codes of the t's variance: without biases, ReLUs let a factor through.
        layers[0].weight.mul_(math.sqrt(df / (df - 2) / model.code_variance))
        model.logvar.fill_(2 * math.log(noise))
    model.requires_grad_(False)
    model.encoder = BentEncoder(columns, latent, hidden_of_encoder, generator)
    return model


def run(
    truth: str,
    codes: str,
    seed: int,
    *,
    df: float,
    rows: int,
    valid_rows: int,
    test_rows: int,
    columns: int,
    latent: int,
    noise: float,
    missing: Sequence[float],
    training: dict[str, Any],
    n_proposals: int,
    n_draws: int,
) -> Iterator[tuple[Any, ...]]:
    """Draw a truth and its rows, let every model learn from them, and score all on new rows.

    Parameters
    ----------
    truth, codes, df, columns, latent, noise
        See `make_truth`.
    seed : int
        Of everything: truth, rows, hidden cells, initial weights and training. All models meet
        the same ones.
    rows, valid_rows, test_rows : int
        Complete rows to learn from, to watch the training by, and to hide cells of.
    missing : sequence of float
        Shares of the cells that are hidden, each independently, in (0, 1).
    training : dict
        Keywords of `study.control.learning.learn`.
    n_proposals, n_draws : int
        Weighted codes per row, and how many of them are drawn as imputations.

    Yields
    ------
    tuple
        `study.control.cases.COLUMNS`: with ``missing`` 0 the ``log_likelihood`` in nats per row;
        with the others ``rmse``, ``crps`` and ``coverage_0.9``. Of a model whose training
        diverged there is `study.control.cases.DIVERGED` alone, with ``missing`` 0.
    """
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(5)]
    of_truth, of_rows, of_weights, of_training, of_scores = seeds
    sizes = {"columns": columns, "latent": latent}
    generator = torch.Generator().manual_seed(of_truth)
    true = make_truth(truth, codes, df=df, noise=noise, **sizes, generator=generator)
    generator = torch.Generator().manual_seed(of_rows)
    train, valid, test = (true.draw(n, generator) for n in (rows, valid_rows, test_rows))
    hidden = {share: torch.rand(test.shape, generator=generator) < share for share in missing}
    models = {}
    for name in MODELS:
        generator = torch.Generator().manual_seed(of_weights)
        models[name] = FactorModel(
            name, df=df, **sizes, hidden=TRUTHS[truth][1], generator=generator
        )
        start(models[name], train)
    for name, model in {**models, ORACLE: true}.items():
        generator = torch.Generator().manual_seed(of_training)
        try:
            learn(model, train, valid, **training, generator=generator)
        except DivergedError as error:
            yield truth, codes, name, seed, 0.0, DIVERGED, float(error.epoch)
            continue
        generator = torch.Generator().manual_seed(of_scores)
        nats = log_likelihood(model, test, n_proposals=n_proposals, generator=generator)
        yield truth, codes, name, seed, 0.0, LOG_LIKELIHOOD, nats.mean().item()
        for share, cells in hidden.items():
            scores = impute_and_score(
                model, test, cells, train.std(0), n_proposals=n_proposals, n_draws=n_draws,
                generator=generator,
            )  # fmt: skip
            for metric, value in scores.items():
                yield truth, codes, name, seed, share, metric, value


@torch.no_grad()
def log_likelihood(
    model: FactorModel, x: Tensor, *, n_proposals: int, generator: torch.Generator
) -> Tensor:
    """Estimate ln p(x) of complete rows, in nats, by importance sampling around the modes.

    The proposals do not come from the encoder: no model is held to what its own has learned.

    Returns
    -------
    float64 Tensor of shape (n,)
    """
    observed = torch.ones_like(x, dtype=torch.bool)
    mixture = _proposals(model, x, observed)
    z = mixture.sample(generator, n_proposals)
    log_weights, _ = weighted(model, x, observed, z, mixture)
    return log_weights.logsumexp(0) - math.log(n_proposals)


@torch.no_grad()
def impute_and_score(
    model: FactorModel,
    x: Tensor,
    missing: Tensor,
    sd: Tensor,
    *,
    n_proposals: int,
    n_draws: int,
    generator: torch.Generator,
) -> dict[str, float]:
    """Fill in the missing cells of rows (n, columns) and score that, in units of `sd`."""
    given = (x.where(~missing, 0), ~missing)
    found = weigh(
        model, *given, _proposals(model, *given),
        generator=generator, n_draws=n_draws, n_proposals=n_proposals,
    )  # fmt: skip
    means = model.likelihood(found.codes).mean
    draws = means + torch.exp(0.5 * model.logvar) * torch.randn(means.shape, generator=generator)
    error = ((found.mean - x) / sd)[missing]
    ordered = (draws / sd).sort(0).values[:, missing].numpy()
    truth = (x / sd)[missing].numpy()
    low, high = central_interval(ordered, LEVEL)
    return {
        "rmse": error.double().square().mean().sqrt().item(),
        "crps": float(crps(ordered, truth).mean()),
        COVERAGE: float(np.mean((low <= truth) & (truth <= high))),
    }


def _proposals(model: FactorModel, x: Tensor, observed: Tensor) -> Mixture:
    laws, shares = laplace_mixture(find_modes(model, x, observed), PROPOSALS_DF)
    return Mixture.defended(laws, shares, model.prior, DEFENSIVE)
