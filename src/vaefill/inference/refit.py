r"""Importance sampling with the encoder's output refitted to the observed pixels of each image.

.. math:: \max_{\mu, \ln \sigma^2} \;
    \mathbb E_{q(z)} \ln p(x_o | z) - \mathrm{KL}(q(z) \| p(z))

for q of the model's own family, one per image, from where the encoder puts it [1]_. The model
stays as it is.

References
----------
.. [1] P.-A. Mattei, J. Frellsen, "Refit your encoder when new data comes by", 3rd NeurIPS
   workshop on Bayesian deep learning, 2018.
.. [2] D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
"""

import torch
from torch import Tensor

from vaefill.inference.iterated import fill
from vaefill.inference.mixtures import Mixture
from vaefill.inference.selfnormalised import weigh
from vaefill.inference.target import Inferred, at_least, between_0_and_1
from vaefill.models.distributions import Latent
from vaefill.models.divergences import exact_kl
from vaefill.models.vae import VAE


def refit(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_draws: int = 100,
    n_proposals: int = 1000,
    defensive: float = 0.1,
    n_steps: int = 100,
    lr: float = 0.1,
    batch_draws: int = 4,
) -> Inferred:
    """Weigh draws of the refitted q, and of the prior.

    Parameters
    ----------
    vae, x, observed, generator, n_draws, n_proposals, defensive
        See `vaefill.inference.selfnormalised.importance`.
    n_steps, lr, batch_draws
        See `refitted`.

    Returns
    -------
    Inferred
        The diagnostics are ``ess`` and ``pareto_k``.
    """
    between_0_and_1("defensive", defensive)
    posterior = refitted(
        vae, x, observed, generator=generator, n_steps=n_steps, lr=lr, batch_draws=batch_draws
    )
    shares = torch.ones(1, len(x), device=x.device)
    mixture = Mixture.defended([posterior], shares, vae.prior, defensive)
    with torch.no_grad():
        return weigh(
            vae, x, observed, mixture, generator=generator, n_draws=n_draws, n_proposals=n_proposals
        )


@torch.enable_grad()
def refitted(
    vae: VAE,
    x: Tensor,
    observed: Tensor,
    *,
    generator: torch.Generator,
    n_steps: int = 100,
    lr: float = 0.1,
    batch_draws: int = 4,
) -> Latent:
    """Refit q(z) to each image, all images at once.

    Parameters
    ----------
    n_steps : int, default=100
        Steps of Adam [2]_ from the encoding of the iterated imputation.
    lr : float, default=0.1
        Its step size, which falls to 0 along a cosine.
    batch_draws : int, default=4
        Draws per step and image.

    Returns
    -------
    Latent
        q, of the model's family.
    """
    at_least("n_steps", n_steps, 0)
    with torch.no_grad():
        mu, logvar = vae.encoder(fill(vae, x, observed)[0])
    parameters = [mu.clone().requires_grad_(), logvar.clone().requires_grad_()]
    # Adam scales every number by its own gradients: images do not meet in the sum over them.
    optimizer = torch.optim.Adam(parameters, lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(n_steps, 1))
    for _ in range(n_steps):
        posterior = vae.family(*parameters)
        z = posterior.rsample(generator, (batch_draws,))
        fit = vae.likelihood(z).log_prob(x, observed).mean(0)
        loss = (exact_kl(posterior, vae.prior) - fit).sum()
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters), strict=True
        ):
            parameter.grad = gradient
        optimizer.step()
        schedule.step()
    return vae.family(*(parameter.detach() for parameter in parameters))
