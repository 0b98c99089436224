"""Optimizers by name: what turns gradients into steps.

References
----------
.. [1] D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
.. [2] I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and
   momentum in deep learning", ICML 2013.
.. [3] K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024),
   https://kellerjordan.github.io/posts/muon.
.. [4] J. Liu et al., "Muon is scalable for LLM training", arXiv:2502.16982 (2025).
"""

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

MOMENTUM = 0.9
#: Of Newton-Schulz: a polynomial of singular values that lifts small ones fastest [3]_.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


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


def muon(model: nn.Module, lr: float) -> Optimizer:
    """Step by matrices whose singular values are all about the same, see `Muon`."""
    return Muon(list(model.parameters()), lr)


def orthogonalised(matrices: Tensor, *, n_steps: int = 5) -> Tensor:
    r"""Bring the singular values of matrices near 1, by the Newton-Schulz iteration of [3]_.

    Starting from :math:`X / \|X\|_F`, with :math:`a, b, c` = `COEFFICIENTS`,

    .. math:: X \leftarrow a X + b\, (X X^T) X + c\, (X X^T)^2 X

    Parameters
    ----------
    matrices : Tensor of shape (..., rows, columns)
        Cheapest where there are no more rows than columns. One of zeros stays as it is.
    n_steps : int, default=5
        Iterations; 5 bring singular values from .003 of the norm on to between .68 and 1.14.

    Returns
    -------
    Tensor of shape (..., rows, columns)
        About U V^T, where X = U S V^T.
    """
    a, b, c = COEFFICIENTS
    x: Tensor = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(n_steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(Optimizer):
    r"""Momentum, orthogonalised, for matrices [3]_; Adam [1]_ for biases and other vectors.

    A weight :math:`W` of r rows and c columns, the kernels of a convolution being one row per
    output channel, with gradient :math:`G` and momentum :math:`M` moves by

    .. math:: M \leftarrow \beta M + (1 - \beta) G, \qquad
        W \leftarrow W - \eta \sqrt{\max(r, c)}\;
        \mathrm{orth}\big(\beta M + (1 - \beta) G\big)

    where orth is `orthogonalised`, with :math:`\beta = 0.95`. The root mean square of
    the entries of a step is then about :math:`\eta`, whatever the shape, as that of Adam's first
    steps is, so that one rate serves both [4]_.

    Parameters
    ----------
    params : list of Tensor
        The parameters of a model; those of two axes and more are matrices.
    lr : float
        The rate :math:`\eta`.
    """

    momentum = 0.95
    betas, eps = (0.9, 0.999), 1e-8

    def __init__(self, params: list[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step along the gradients that are there; closures are not taken."""
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            self._turn([p for p in moving if p.ndim >= 2], group["lr"])
            for p in moving:
                if p.ndim < 2:
                    self._adapt(p, group["lr"])

    def _turn(self, weights: list[Tensor], lr: float) -> None:
        """Move matrices; those of one shape are orthogonalised together, which takes less time."""
        alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for weight in weights:
            state, gradient = self.state[weight], weight.grad
            assert gradient is not None
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].lerp_(gradient, 1 - self.momentum)
            ahead = gradient.lerp(state["momentum"], self.momentum).flatten(1)
            wide = ahead if ahead.shape[0] <= ahead.shape[1] else ahead.mT
            alike[tuple(wide.shape)].append((weight, wide))
        for shape, pairs in alike.items():
            turned = orthogonalised(torch.stack([wide for _, wide in pairs]))
            for (weight, _), step in zip(pairs, turned, strict=True):
                step = step if weight.shape[0] == shape[0] else step.mT
                weight.sub_(step.reshape(weight.shape), alpha=lr * shape[1] ** 0.5)

    def _adapt(self, p: Tensor, lr: float) -> None:
        """Move a vector by Adam's step."""
        state, gradient = self.state[p], p.grad
        assert gradient is not None
        if not state:
            state.update(step=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
        state["step"] += 1
        (beta1, beta2), step = self.betas, state["step"]
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        spread = (state["square"].sqrt() / (1 - beta2**step) ** 0.5).add_(self.eps)
        p.addcdiv_(state["mean"], spread, value=-lr / (1 - beta1**step))


OPTIMIZERS: dict[str, Callable[[nn.Module, float], Optimizer]] = {
    "adam": adam,
    "sgd": sgd,
    "momentum": momentum,
    "muon": muon,
}
