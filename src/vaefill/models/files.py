"""Files of models: architecture and weights as one safetensors file, for a model of any kind."""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from vaefill.errors import InputError
from vaefill.models.conditional import ConditionalVAE
from vaefill.models.vae import VAE
from vaefill.storage import unreadable, write_bytes

Model = VAE | ConditionalVAE


def save(path: str | Path, model: Model) -> None:
    """Write a model, whole or not at all.

    The model's ``architecture`` holds the arguments that make it anew.
    """
    # One metadata key: safetensors keeps several in no fixed order, and bytes would differ.
    # JSON has no infinity: df travels as text.
    arguments: dict[str, Any] = model.architecture
    architecture = {**arguments, "df": str(arguments["df"])}
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"architecture": json.dumps(architecture, sort_keys=True)}
    write_bytes(path, safetensors.torch.save(weights, metadata))


def load(path: str | Path, *, device: str | torch.device = "cpu") -> Model:
    """Read what `save` wrote; nothing in the file is executed.

    Parameters
    ----------
    path : path-like
        The file.
    device : str or torch.device, default="cpu"
        Where the model is to be.

    Returns
    -------
    VAE or ConditionalVAE
        Of the kind that was saved, ready to infer.

    Raises
    ------
    FileError
        When the file is missing, truncated, or its weights are of another architecture than
        the one that it names.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = _build(**json.loads(metadata["architecture"]))
        model.load_state_dict(weights)
    except (FileNotFoundError, safetensors.SafetensorError) as error:
        raise unreadable(path, "a model (.safetensors)", error) from error
    except InputError as error:
        raise unreadable(path, "a model of vaefill", error) from error
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        reason = RuntimeError("weights and architecture do not match")
        raise unreadable(path, "a model of vaefill", reason) from error
    return model.eval().to(device)


def _build(*, df: str, **architecture: Any) -> Model:
    kind = ConditionalVAE if "networks" in architecture else VAE
    number = None if df == "None" else float(df)
    return kind(**architecture, df=number, generator=torch.Generator())
