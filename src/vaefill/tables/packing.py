"""Fitted parts of the imputer as named tensors and plain values, and back.

Each part is a frozen dataclass of tensors, numbers, texts and other parts. Its tensors get the path
of field names that leads to them; all else goes into a description of the same shape, fit for JSON.
What is read back is made of the classes listed here and of nothing else.
"""

from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from vaefill.tables.columns import Slots
from vaefill.tables.completion import Completion, Looking
from vaefill.tables.forest import Forest, Trees
from vaefill.tables.intervals import ResidualQuantiles
from vaefill.tables.likelihoods import Mixed
from vaefill.tables.linear import Linear
from vaefill.tables.neighbours import References
from vaefill.tables.network import Ensemble
from vaefill.tables.normal import MultivariateNormal
from vaefill.tables.spaces import NormalScores, Standard

_PARTS: dict[str, type[Any]] = {
    part.__name__: part
    for part in (
        Completion,
        Ensemble,
        Forest,
        Linear,
        Looking,
        Mixed,
        MultivariateNormal,
        NormalScores,
        References,
        ResidualQuantiles,
        Slots,
        Standard,
        Trees,
    )
}


def pack(part: Any, path: str = "") -> tuple[Any, dict[str, Tensor]]:
    """Take a part to pieces.

    Returns
    -------
    description
        Dictionaries, lists, texts, numbers and None: a part as ``{"part": name, **fields}``, a
        tensor as ``{"tensor": path}``.
    tensors : dict of str to Tensor
        By path; copies on the CPU.
    """
    if isinstance(part, Tensor):
        return {"tensor": path}, {
            path: part.detach().cpu().clone(memory_format=torch.contiguous_format)
        }
    if is_dataclass(part):
        named = {field.name: getattr(part, field.name) for field in fields(part)}
        start: Any = {"part": type(part).__name__}
    elif isinstance(part, tuple):
        named, start = {str(number): item for number, item in enumerate(part)}, {}
    else:
        return part, {}
    tensors: dict[str, Tensor] = {}
    described = {}
    for name, value in named.items():
        described[name], found = pack(value, f"{path}.{name}" if path else name)
        tensors |= found
    return (start | described if start else list(described.values())), tensors


def unpack(description: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    """Put together what `pack` took to pieces, on a device.

    Raises
    ------
    KeyError, TypeError
        When the description is of something else.
    """
    if isinstance(description, list):
        return tuple(unpack(item, tensors, device) for item in description)
    if not isinstance(description, dict):
        return description
    if "tensor" in description:
        return tensors[description["tensor"]].to(device)
    arguments = {
        name: unpack(value, tensors, device)
        for name, value in description.items()
        if name != "part"
    }
    return _PARTS[description["part"]](**arguments)
