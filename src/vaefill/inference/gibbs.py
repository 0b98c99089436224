r"""Markov chains over the code given the observed pixels.

`pseudo_gibbs` [1]_ alternates encoder and decoder. It is exact only where q(z|x) is the posterior,
and then only if the pixels are drawn: here they are the decoder's means. Bernoulli draws of 0 and 1
would be images unlike the grey ones that the encoder knows.

`metropolis_within_gibbs` makes it exact for any encoder: the encoder only proposes, and a step of
Metropolis-Hastings accepts [2]_, in the adaptive collapsed form [3]_. With an earlier imputation
:math:`x_m^\tau` of the same image, drawn at random and *whatever the present state*, it proposes

.. math:: z' \sim q_\tau(z') = (1 - \epsilon) \, q(z' | x_o, x_m^\tau) + \epsilon \, p(z')

and accepts with probability

.. math:: \min\Big(1, \frac{p(x_o|z') \, p(z') \, q_\tau(z)}{p(x_o|z) \, p(z) \, q_\tau(z')}\Big)

Given :math:`\tau` this is an independence sampler, which leaves p(z|x_o) invariant. An imputation
that was drawn from the present state would not do: the proposal would depend on the state, and the
ratio miss it. The history grows during warm-up and then stays as it is, so that the states that
are kept are those of one fixed kernel, exact also in short runs; in [3]_ it grows throughout, which
is exact in the limit. All chains of an image share the history, of which q's parameters suffice.

References
----------
.. [1] D. J. Rezende, S. Mohamed, D. Wierstra, "Stochastic backpropagation and approximate
   inference in deep generative models", ICML 2014, Appendix F.
.. [2] P.-A. Mattei, J. Frellsen, "Leveraging the exact likelihood of deep latent variable
   models", NeurIPS 2018.
.. [3] V. Simkus, M. U. Gutmann, "Conditional sampling of variational autoencoders via iterated
   approximate ancestral sampling", Transactions on Machine Learning Research, 2023.
"""

import math

import torch
from torch import Tensor

from vaefill.errors import InputError
from vaefill.inference.convergence import chain_ess, rhat
from vaefill.inference.iterated import fill
from vaefill.inference.target import Inferred, at_least, between_0_and_1, log_joint
from vaefill.models.distributions import Latent
from vaefill.models.vae import VAE


@torch.no_grad()
def pseudo_gibbs(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_draws: int = 100,
    n_chains: int = 4,
    n_warmup: int = 50,
    n_iterations: int = 200,
) -> Inferred:
    """Draw z from q(z|x) and set the missing pixels to the decoder's means, in turns.

    Parameters
    ----------
    vae, x, observed, generator
        See `vaefill.inference.single_pass.single_pass`.
    n_draws : int, default=100
        States to return, at even distances; at most ``n_chains * n_iterations``.
    n_chains : int, default=4
        Chains per image, from different draws of q(z|x) of the zero-filled image.
    n_warmup : int, default=50
        First iterations, which are left out.
    n_iterations : int, default=200
        Iterations that are kept, of every chain.

    Returns
    -------
    Inferred
        ``mean`` is that of the decoder's means. The diagnostics are ``rhat`` and ``ess``.
    """
    _check(n_draws, n_chains, n_warmup, n_iterations)
    filled = x.expand(n_chains, *x.shape)
    total, states = torch.zeros_like(filled), []
    for iteration in range(-n_warmup, n_iterations):
        z = vae.posterior(filled).rsample(generator)
        mean = vae.likelihood(z).mean
        filled = x.where(observed, mean)
        if iteration >= 0:
            total += mean
            states.append(z)
    return _summary(total, states, n_draws, generator)


@torch.no_grad()
def metropolis_within_gibbs(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_draws: int = 100,
    n_chains: int = 4,
    n_warmup: int = 100,
    n_iterations: int = 200,
    epsilon: float = 0.05,
) -> Inferred:
    r"""Adaptive collapsed Metropolis-within-Gibbs, exact for any encoder.

    Parameters
    ----------
    vae, x, observed, generator, n_draws, n_chains, n_warmup, n_iterations
        See `pseudo_gibbs`. Chains start from draws of q(z|x) of the iterated imputation.
    epsilon : float, default=0.05
        The prior's share of the proposals, between 0 and 1: it bounds how long a chain can stick.

    Returns
    -------
    Inferred
        ``mean`` is that of the decoder's means over all states. The diagnostics are ``rhat``,
        ``ess`` and ``acceptance``, the accepted fraction after warm-up.
    """
    _check(n_draws, n_chains, n_warmup, n_iterations)
    between_0_and_1("epsilon", epsilon)
    n, device, prior = len(x), x.device, vae.prior
    encoded = torch.cat(vae.encoder(fill(vae, x, observed)[0]), dim=-1)
    history = encoded.new_empty(1 + n_chains * n_warmup, *encoded.shape)
    history[0], size = encoded, 1
    z = vae.family(*encoded.expand(n_chains, -1, -1).chunk(2, -1)).rsample(generator)
    likelihood = vae.likelihood(z)
    density, mean = log_joint(likelihood, prior, z, x, observed), likelihood.mean
    total, states, accepted = torch.zeros_like(mean), [], torch.zeros_like(density)
    for iteration in range(-n_warmup, n_iterations):
        tau = torch.randint(size, (n_chains, n), generator=generator, device=device)
        q = vae.family(*history[tau, torch.arange(n, device=device)].chunk(2, -1))
        by_prior = torch.rand(n_chains, n, generator=generator, device=device) < epsilon
        new = q.rsample(generator)
        new = prior.rsample(generator, (n_chains, n)).where(by_prior.unsqueeze(-1), new)
        likelihood = vae.likelihood(new)
        new_density = log_joint(likelihood, prior, new, x, observed)
        log_ratio = new_density - density + _log_mixture(q, prior, epsilon, z)
        log_ratio -= _log_mixture(q, prior, epsilon, new)
        accept = torch.rand(n_chains, n, generator=generator, device=device).log() < log_ratio
        z = new.where(accept.unsqueeze(-1), z)
        density = new_density.where(accept, density)
        mean = likelihood.mean.where(accept.unsqueeze(-1), mean)
        if iteration < 0:
            encoded = torch.cat(vae.encoder(x.where(observed, mean)), dim=-1)
            history[size : size + n_chains] = encoded
            size += n_chains
        else:
            total += mean
            states.append(z)
            accepted += accept
    inferred = _summary(total, states, n_draws, generator)
    inferred.diagnostics["acceptance"] = accepted.mean(0) / n_iterations
    return inferred


def _log_mixture(q: Latent, prior: Latent, epsilon: float, z: Tensor) -> Tensor:
    z = z.double()
    return torch.logaddexp(
        q.log_prob(z) + math.log1p(-epsilon), prior.log_prob(z) + math.log(epsilon)
    )


def _check(n_draws: int, n_chains: int, n_warmup: int, n_iterations: int) -> None:
    at_least("n_chains", n_chains, 1)
    at_least("n_warmup", n_warmup, 0)
    at_least("n_iterations", n_iterations, 4)  # for halves that have a variance
    if n_draws > n_chains * n_iterations:
        raise InputError(
            f"n_draws = {n_draws}: must be at most n_chains * n_iterations = "
            f"{n_chains * n_iterations}; raise n_iterations"
        )


def _summary(
    total: Tensor, states: list[Tensor], n_draws: int, generator: torch.Generator
) -> Inferred:
    chains = torch.stack(states)  # (n_iterations, n_chains, n, latent)
    diagnostics = {"rhat": rhat(chains), "ess": chain_ess(chains)}
    pooled = chains.transpose(0, 1).flatten(0, 1)
    # From the middles of equal parts, and in an order of their own, so that any part of the draws
    # stands for all chains.
    order = torch.randperm(n_draws, generator=generator, device=pooled.device)
    places = ((order + 0.5) * (len(pooled) / n_draws)).long()
    return Inferred(total.mean(0) / len(states), pooled[places], diagnostics)
