"""Recipes, as sections of ``train`` in ``params.yaml``: how a model is trained."""

from typing import Annotated, Literal

from pydantic import Field

from study.params import Count, Params

Rate = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Init = Literal["torch", "he", "xavier", "normal"]
Optimizer = Literal["adam", "sgd", "momentum"]


class _Recipe(Params):
    """What all recipes have; how weights begin and what makes the steps need not be said."""

    epochs: Count
    batch_size: Count
    lr: Rate
    init: Init = "torch"
    optimizer: Optimizer = "adam"


class Constant(_Recipe):
    """A recipe with one learning rate throughout."""

    schedule: Literal["constant"]


class OneCycle(_Recipe):
    """A recipe whose rate rises to `lr` over the share `warmup` of the steps, then falls to 0."""

    schedule: Literal["one_cycle"]
    warmup: Rate


Recipe = Annotated[Constant | OneCycle, Field(discriminator="schedule")]
