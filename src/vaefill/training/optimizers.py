"""Optimizers by name: what turns gradients into steps.

References
----------
.. [1] D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
.. [2] I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and
   momentum in deep learning", ICML 2013.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

MOMENTUM = 0.9


def adam(model: nn.Module, lr: float) -> Optimizer:
    """Scale each step by running moments of the gradient [1]_."""
    return torch.optim.Adam(model.parameters(), lr=lr, fused=True)


def sgd(model: nn.Module, lr: float) -> Optimizer:
    """Step along the gradient alone."""
    return torch.optim.SGD(model.parameters(), lr=lr)


def momentum(model: nn.Module, lr: float) -> Optimizer:
    """Step along a sum of all gradients so far, each step's share nine tenths of the next's [2]_.

    The steps add up: `lr` counts ten times what it does for `sgd`.
    """
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=MOMENTUM)


OPTIMIZERS: dict[str, Callable[[nn.Module, float], Optimizer]] = {
    "adam": adam,
    "sgd": sgd,
    "momentum": momentum,
}
