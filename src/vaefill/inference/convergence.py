r"""Whether draws from a posterior can be trusted: of chains, and of weighted draws.

Chains that have converged are alike: R-hat compares the variance between them with that within,
and the effective sample size says how many independent draws they are worth [1]_. Weighted draws
fail when few of them carry all the weight: the Pareto k-hat is the tail index of the weights'
distribution, of which moments above :math:`1 / k` do not exist [2]_ [3]_.

References
----------
.. [1] A. Vehtari, A. Gelman, D. Simpson, B. Carpenter, P.-C. Bürkner, "Rank-normalization,
   folding, and localization: an improved R-hat for assessing convergence of MCMC", Bayesian
   Analysis 16 (2021), 667-718.
.. [2] A. Vehtari, D. Simpson, A. Gelman, Y. Yao, J. Gabry, "Pareto smoothed importance sampling",
   Journal of Machine Learning Research 25 (2024), no. 72.
.. [3] J. Zhang, M. A. Stephens, "A new and efficient estimation method for the generalized Pareto
   distribution", Technometrics 51 (2009), 316-325.
.. [4] C. J. Geyer, "Practical Markov chain Monte Carlo", Statistical Science 7 (1992), 473-483.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

RHAT_LIMIT = 1.05  # Stan's own warning; [1]_ asks for 1.01 of chains longer than ours need be
PARETO_K_LIMIT = 0.7  # above, self-normalised estimates are not to be trusted: [2]_


def flagged(diagnostics: Mapping[str, Tensor]) -> Tensor:
    """Tell which images' chains did not converge, or whose weights collapsed.

    Parameters
    ----------
    diagnostics : mapping of str to Tensor of shape (n,)
        Of them ``rhat`` and ``pareto_k`` count. A nan stands for an image that has none, and
        needs none.

    Returns
    -------
    bool Tensor of shape (n,)
        True where ``rhat`` is above 1.05 or ``pareto_k`` above 0.7; one False for all images
        where there are no diagnostics.
    """
    limits = {"rhat": RHAT_LIMIT, "pareto_k": PARETO_K_LIMIT}
    some = next(iter(diagnostics.values()), torch.zeros(()))
    bad = torch.zeros_like(some, dtype=torch.bool)
    for name in limits.keys() & diagnostics.keys():
        bad = bad | (diagnostics[name] > limits[name])
    return bad


def rhat(chains: Tensor) -> Tensor:
    """Rank-normalised split R-hat, the worst over the coordinates.

    The larger of that of the ranks, which sees chains at different places, and that of the ranks
    of distances to the median, which sees different spreads. Ranks, because codes with a heavy
    tail may have no variance to compare.

    Parameters
    ----------
    chains : Tensor of shape (n_iterations, n_chains, n, latent)
        At least 4 iterations.

    Returns
    -------
    Tensor of shape (n,)
        Near 1 where the chains agree; inf where none has moved at all, or one is not finite.
    """
    if not chains.numel():
        return chains.new_empty(chains.shape[2])
    halves = _halves(chains)
    folded = (halves - halves.flatten(0, 1).median(0).values).abs()
    worst = torch.maximum(_plain_rhat(_normal_scores(halves)), _plain_rhat(_normal_scores(folded)))
    lost = _stuck(halves) | ~halves.isfinite().all(0).all(0)
    return worst.masked_fill(lost, math.inf).amax(-1)


def chain_ess(chains: Tensor) -> Tensor:
    r"""How many independent draws the chains are worth, the least over the coordinates.

    .. math:: \frac{C T}{-1 + 2 \sum_k P_k}, \qquad P_k = \rho_{2k} + \rho_{2k+1}

    for the autocorrelations :math:`\rho` of the C chains' ranks ("bulk"). The sum ends before the
    first :math:`P_k` that is not positive, and its terms are made to fall, as in [4]_.

    Parameters
    ----------
    chains : Tensor of shape (n_iterations, n_chains, n, latent)
        At least 4 iterations.

    Returns
    -------
    Tensor of shape (n,)
        At most ``n_draws * log10(n_draws)`` for all ``n_draws`` states together; 1 where no
        chain has moved.
    """
    if not chains.numel():
        return chains.new_empty(chains.shape[2])
    halves = _halves(chains)
    scores = _normal_scores(halves)
    length, n_chains = scores.shape[:2]
    centred = scores - scores.mean(0)
    spectrum = torch.fft.rfft(centred, n=2 * length, dim=0).abs().square()
    covariance = torch.fft.irfft(spectrum, n=2 * length, dim=0)[:length].mean(1) / length
    within = covariance[0] * length / (length - 1)
    total = covariance[0] + scores.mean(0).var(0)
    correlation = 1 - (within - covariance) / total
    correlation[0] = 1
    pairs = correlation[: length // 2 * 2].unflatten(0, (-1, 2)).sum(1)
    positive = (pairs > 0).cummin(0).values
    time = 2 * (pairs.cummin(0).values * positive).sum(0) - 1
    n_draws = length * n_chains
    ess = n_draws / time.clamp(min=1 / math.log10(n_draws))
    least: Tensor = ess.masked_fill(_stuck(halves), 1).amin(-1)
    return least


def weight_ess(log_weights: Tensor) -> Tensor:
    r"""Effective sample size :math:`(\sum w)^2 / \sum w^2` along the first axis."""
    return torch.exp(2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0))


def pareto_k(log_weights: Tensor) -> Tensor:
    r"""Tail index of the importance weights, by [2]_.

    A generalised Pareto distribution is fitted to what the largest
    :math:`\min(S / 5, 3 \sqrt S)` of S weights exceed the next one by.

    Parameters
    ----------
    log_weights : Tensor of shape (n_draws, n)
        Up to a constant per image.

    Returns
    -------
    Tensor of shape (n,)
        Above 0.7 the weights have collapsed; inf for fewer than 21 draws, of which no tail can
        be fitted; -inf where the largest weights are equal and there is no tail.
    """
    n_draws = len(log_weights)
    size = math.ceil(min(n_draws / 5, 3 * math.sqrt(n_draws)))
    if size < 5:
        return log_weights.new_full(log_weights.shape[1:], math.inf)
    largest = log_weights.double().topk(size + 1, dim=0).values
    relative = (largest - largest[:1]).exp()
    exceedance = (relative[:-1] - relative[-1:]).flip(0)
    equal = exceedance[-1] < 1e-9  # what rounding makes of weights that are all the same
    # Weights beyond the range of float64 would be exceedances of 0, outside the distribution.
    tail = exceedance.clamp(min=torch.finfo(torch.float64).tiny)
    k = generalized_pareto_k(tail)
    # The weak prior of [2]_: ten observations' worth of k = 1/2 steady a small sample.
    k = (size * k + 10 * 0.5) / (size + 10)
    return k.masked_fill(equal, -math.inf).nan_to_num(nan=math.inf, neginf=-math.inf)


def generalized_pareto_k(x: Tensor) -> Tensor:
    r"""Shape of a generalised Pareto distribution, the quasi-Bayes estimate of [3]_.

    The density is :math:`\sigma^{-1} (1 + k x / \sigma)^{-1/k - 1}`. For
    :math:`b = -k / \sigma` (their :math:`\theta`) the likelihood is largest at
    :math:`k(b) = \frac1m \sum_i \ln (1 - b x_i)` (the sign of theirs turned), which leaves a
    profile likelihood in b alone; the estimate averages b under it over a grid.

    Parameters
    ----------
    x : float64 Tensor of shape (m, n)
        n samples of positive numbers, each sorted upwards.

    Returns
    -------
    Tensor of shape (n,)
    """
    m = len(x)
    n_grid = 30 + math.floor(math.sqrt(m))
    step = torch.arange(1, n_grid + 1, dtype=x.dtype, device=x.device).unsqueeze(-1)
    quartile = x[math.floor(m / 4 + 0.5) - 1]
    b = 1 / x[-1] + (1 - torch.sqrt(n_grid / (step - 0.5))) / (3 * quartile)  # (grid, n)
    k = torch.stack([torch.log1p(-row * x).mean(0) for row in b])
    profile = m * (torch.log(-b / k) - k - 1)
    mean = (profile.softmax(0) * b).sum(0)
    estimate: Tensor = torch.log1p(-mean * x).mean(0)
    return estimate


def _halves(chains: Tensor) -> Tensor:
    """Each chain cut in two, so that a trend within it shows."""
    length = len(chains) // 2
    return torch.cat([chains[:length], chains[length : 2 * length]], dim=1)


def _stuck(halves: Tensor) -> Tensor:
    """Tell where no chain has moved, shape (n, latent)."""
    return (halves == halves[:1]).all(0).all(0)


def _normal_scores(chains: Tensor) -> Tensor:
    """Each value by the normal quantile of its rank among all chains' values [1]_."""
    pooled = chains.flatten(0, 1)
    n = len(pooled)
    rank = torch.arange(1, n + 1, dtype=torch.float64, device=chains.device)
    score = torch.special.ndtri((rank - 3 / 8) / (n + 1 / 4)).to(chains.dtype)
    order = pooled.argsort(dim=0)
    score = score.reshape(-1, *[1] * (pooled.ndim - 1)).expand(pooled.shape)
    return torch.empty_like(pooled).scatter_(0, order, score).reshape(chains.shape)


def _plain_rhat(chains: Tensor) -> Tensor:
    length = len(chains)
    within = chains.var(0).mean(0)
    between = chains.mean(0).var(0)  # of the chains' means: B / T
    return torch.sqrt((length - 1) / length + between / within)
