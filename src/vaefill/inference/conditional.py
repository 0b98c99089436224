r"""Inference of the missing pixels with a model that was trained to impute.

The encoder of such a model gives p(z|x_o) itself (`vaefill.models.conditional`), so that there is
nothing to search, weigh or iterate: codes are drawn from it, independently.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vaefill.errors import InputError
from vaefill.inference.target import Inferred
from vaefill.missingness.checks import check_images
from vaefill.models.conditional import ConditionalVAE, Conditioned
from vaefill.models.likelihoods import Likelihood

METHODS = ("single_pass", "draws")


@torch.no_grad()
def infer(
    vae: ConditionalVAE,
    images: Tensor,
    missing: Tensor,
    *,
    method: str = "draws",
    generator: torch.Generator,
    n_draws: int = 79,
    n_averaged: int = 20,
    batch_size: int = 250,
) -> Inferred:
    """Infer codes and expected pixels of incomplete images.

    Parameters
    ----------
    vae : ConditionalVAE
        Trained model.
    images : Tensor of shape (n, height, width)
        Pixels in [0, 1] where observed; what lies under the missing ones is never looked at.
    missing : bool Tensor of shape (n, height, width)
        True where a pixel is missing.
    method : {"single_pass", "draws"}
        Expect the pixels at the location of p(z|x_o), or on average over draws from it.
    generator : torch.Generator
        Source of the draws, on the model's device.
    n_draws : int, default=79
        Codes to return.
    n_averaged : int, default=20
        The first ones, over which ``draws`` averages.
    batch_size : int, default=250
        Images at a time; bounds the memory.

    Returns
    -------
    Inferred
        On the CPU. Draws are independent: there are no diagnostics. Images that are wholly
        missing get those of p(z|x_o) with nothing observed: the model's prior.

    Raises
    ------
    InputError
        When `method` is unknown, a number is below 1, the input is not as it should be, or the
        images are not of the model's size.
    """
    if method not in METHODS:
        raise InputError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    for name, value in {"n_draws": n_draws, "n_averaged": n_averaged}.items():
        if value < 1:
            raise InputError(f"{name} = {value}: must be at least 1")
    check_images(images, missing)
    latent = vae.architecture["latent"]
    means, codes = [torch.empty(0, *images.shape[1:])], [torch.empty(n_draws, 0, latent)]
    if not len(images):
        return Inferred(means[0], codes[0], {})
    for x, gaps in zip(images.split(batch_size), missing.split(batch_size), strict=True):
        mu, prior, likelihood = condition(vae, x, gaps)
        z = prior.rsample(generator, (n_draws,))
        if method == "single_pass":
            expected = likelihood(mu).mean
        else:
            expected = _average(likelihood, z[:n_averaged])
        means.append(expected.reshape(x.shape).cpu())
        codes.append(z.cpu())
    return Inferred(torch.cat(means), torch.cat(codes, dim=1), {})


@torch.no_grad()
def decode(
    vae: ConditionalVAE, codes: Tensor, images: Tensor, missing: Tensor, *, batch_size: int = 250
) -> Tensor:
    """Expect the pixels that codes (J, n, latent) stand for, given the observed ones.

    Returns
    -------
    Tensor of shape (J, n, height, width)
        On the CPU.
    """
    expected = torch.empty(len(codes), *images.shape)
    for start in range(0, len(images), batch_size):
        some = slice(start, start + batch_size)
        *_, likelihood = condition(vae, images[some], missing[some])
        for out, z in zip(expected, codes, strict=True):
            out[some] = likelihood(z[None, some].to(device_of(vae))).mean.reshape(out[some].shape)
    return expected


def condition(vae: ConditionalVAE, images: Tensor, missing: Tensor) -> Conditioned:
    """Take in images (n, height, width) on any device."""
    if list(images.shape[1:]) != vae.architecture["shape"]:
        raise InputError(
            f"images: {tuple(images.shape[1:])} pixels each; the model was trained on "
            f"{tuple(vae.architecture['shape'])}"
        )
    device = device_of(vae)
    return vae.condition(images.flatten(1).to(device), ~missing.flatten(1).to(device))


def device_of(vae: ConditionalVAE) -> torch.device:
    """Where the model is."""
    return next(vae.parameters()).device


def _average(likelihood: Callable[[Tensor], Likelihood], z: Tensor) -> Tensor:
    """Mean over draws of what each expects, one draw at a time."""
    total = likelihood(z[:1]).mean[0]
    for draw in z[1:].split(1):
        total = total + likelihood(draw).mean[0]
    return total / len(z)
