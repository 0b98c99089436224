r"""Adaptive importance sampling in which no draw is lost.

In round t, :math:`n_t` codes are drawn from a mixture :math:`q_t` that has learned from those
before (`vaefill.inference.adaptive`). In the end all are weighed as draws of one mixture, that of
all proposals,

.. math:: w_k \propto \frac{p(x_o | z_k) \, p(z_k)}{\sum_t n_t \, q_t(z_k)}

which is adaptive multiple importance sampling [1]_ with the balance heuristic of
`vaefill.inference.mixtures`: the draws of a poor first proposal weigh little where a later one
covers the target, and what they have found counts in full. Each mixture has learned from draws
that it then weighs; the bias of that vanishes as draws become many [2]_, and is held small by
proposals that learn slowly.

References
----------
.. [1] J.-M. Cornuet, J.-M. Marin, A. Mira, C. P. Robert, "Adaptive multiple importance sampling",
   Scandinavian Journal of Statistics 39 (2012), 798-812.
.. [2] J.-M. Marin, P. Pudlo, M. Sedki, "Consistency of adaptive importance sampling and recycling
   schemes", Bernoulli 25 (2019), 1977-1998.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor

from vaefill.inference.adaptive import adapt
from vaefill.inference.mixtures import Mixture
from vaefill.inference.selfnormalised import averaged, decoded, summarised
from vaefill.inference.target import Inferred, at_least
from vaefill.models.vae import VAE


def weigh_rounds(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    mixture: Mixture,
    *,
    generator: torch.Generator,
    n_draws: int,
    n_proposals: int,
    n_rounds: int,
) -> Inferred:
    """Sample in rounds from a mixture that learns, weigh all, average and resample.

    Parameters
    ----------
    vae, x, observed, generator, n_draws
        See `vaefill.inference.selfnormalised.importance`.
    mixture : Mixture
        The first proposal, as `vaefill.inference.adaptive.adapt` takes it.
    n_proposals : int
        Codes per image, those of all rounds together. Their decoded means are held in memory.
    n_rounds : int
        Rounds, at least 1: then the mixture stays as it is. No more than `n_proposals`.
    """
    at_least("n_proposals", n_proposals, 1)
    at_least("n_rounds", n_rounds, 1)
    n_rounds = min(n_rounds, n_proposals)
    ends = [n_proposals * number // n_rounds for number in range(n_rounds + 1)]
    log_target = torch.empty(n_proposals, len(x), dtype=torch.float64, device=x.device)
    log_proposal = torch.full_like(log_target, -math.inf)  # sum of n_t q_t
    means = x.new_empty(n_proposals, *x.shape)
    proposals: list[tuple[float, Mixture]] = []
    codes: list[Tensor] = []
    for start, end in pairwise(ends):
        new = slice(start, end)
        drawn = mixture.sample(generator, end - start)
        codes.append(drawn)
        z = torch.cat(codes)
        for rows, value, decoder_means in decoded(vae, x, observed, drawn):
            log_target[new, rows], means[new, rows] = value, decoder_means
        # Draws of before meet the new proposal, new draws meet those of before, and their own.
        log_size = math.log(end - start)
        for log_number, earlier in proposals:
            log_proposal[new] = log_proposal[new].logaddexp(log_number + earlier.log_prob(drawn))
        log_proposal[:end] = log_proposal[:end].logaddexp(log_size + mixture.log_prob(z))
        proposals.append((log_size, mixture))
        log_weights = log_target[:end] - log_proposal[:end]
        if end < n_proposals:
            mixture = adapt(mixture, z, log_weights)
    mean = averaged(means, log_weights)
    return summarised(z, log_weights, mean, generator=generator, n_draws=n_draws)
