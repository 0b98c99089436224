"""Models: latent distributions, divergences, likelihoods, networks, and the VAEs made of them."""

from vaefill.models.conditional import ConditionalVAE
from vaefill.models.distributions import MultivariateT, Normal, StudentT
from vaefill.models.files import load, save
from vaefill.models.likelihoods import Bernoulli, ContinuousBernoulli
from vaefill.models.vae import VAE

__all__ = [
    "VAE",
    "Bernoulli",
    "ConditionalVAE",
    "ContinuousBernoulli",
    "MultivariateT",
    "Normal",
    "StudentT",
    "load",
    "save",
]
