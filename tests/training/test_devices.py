import platform

import pytest
import torch

from vaefill.errors import InputError
from vaefill.training.devices import check_bfloat16, pick_device


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "cuda"])
def test_bfloat16_is_refused_where_it_would_be_emulated(monkeypatch, machine, native):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: native)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    device = torch.device("cuda" if machine == "cuda" else "cpu")
    if native and machine == "aarch64":  # what oneDNN says of this very machine
        native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if native:
        check_bfloat16(device)
    else:
        with pytest.raises(InputError, match=rf"machine's {device.type} has no bfloat16 .* false$"):
            check_bfloat16(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_auto_is_the_cpu_and_cuda_is_refused():
    assert pick_device("auto").type == pick_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="device = 'cuda': this machine has none"):
        pick_device("cuda")
