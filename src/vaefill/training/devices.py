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


def deterministic() -> None:
    """Have PyTorch compute the same bytes each time, and refuse what it cannot."""
    torch.use_deterministic_algorithms(True)
    # It would fill all new memory, against reading it before it is written: we do not.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def check_bfloat16(device: torch.device) -> None:
    """Refuse a device that has no bfloat16 of its own.

    PyTorch then computes in it all the same, an order of magnitude slower than in float32.

    Raises
    ------
    InputError
        When the device lacks it: an x86 processor without AVX512-BF16 (AMX comes with it), another
        processor of which oneDNN says so, a GPU that would emulate it.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif platform.machine() in ("x86_64", "AMD64"):
        # oneDNN says yes to every processor with AVX512, also where it has to emulate.
        native = torch.cpu._is_avx512_bf16_supported()
    else:
        native = torch.backends.mkldnn.is_available() and (
            torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
    if not native:
        raise InputError(
            f"mixed_precision = true: this machine's {device.type} has no bfloat16 of its own and "
            "would take ten times as long as in float32; set it to false"
        )


def environment(device: torch.device) -> dict[str, str]:
    """Name what a result was computed with: device and versions, no host, no time."""
    on_gpu = device.type == "cuda"
    return {
        "device": f"cuda ({torch.cuda.get_device_name(device)})" if on_gpu else "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
