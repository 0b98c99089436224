"""The device to compute on, and what to call it in a report."""

import platform
from typing import Literal

import torch

from vaefill.errors import InputError

Device = Literal["auto", "cpu", "cuda"]


def pick_device(name: Device) -> torch.device:
    """Turn a device's name into the device; ``auto`` is CUDA where there is one.

    Raises
    ------
    InputError
        When ``cuda`` is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device = 'cuda': this machine has none that PyTorch can use; use cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def environment(device: torch.device) -> dict[str, str]:
    """Name what a result was computed with: device and versions, no host, no time."""
    on_gpu = device.type == "cuda"
    return {
        "device": f"cuda ({torch.cuda.get_device_name(device)})" if on_gpu else "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
