"""Stage `baselines`: the missing test pixels, without a VAE."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from study.params import Count, Params, parse_paths, read_params, run
from vaefill import storage
from vaefill.baselines import BASELINES
from vaefill.training.devices import Device, pick_device


class BaselinesParams(Params):
    """What `baselines` reads."""

    device: Device
    infer: dict[str, Any]
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write per baseline one array of predictions per mechanism, in half precision."""
    args = parse_paths(argv, "--split", "--missing", "--out")
    params = read_params(BaselinesParams)
    device, n = pick_device(params.device), params.infer["images"]
    split = storage.load_arrays(args.split)
    train, test = (
        torch.from_numpy(split[f"{part}_images"] / np.float32(255)).to(device)
        for part in ("train", "test")
    )
    missing = {
        mechanism: torch.from_numpy(gaps[:n]).to(device)
        for mechanism, gaps in storage.load_arrays(args.missing).items()
    }
    for name, impute in BASELINES.items():
        predictions = {
            f"{mechanism}/mean": impute(train, test[:n], gaps).cpu().numpy().astype(np.float16)
            for mechanism, gaps in missing.items()
        }
        storage.save_arrays(args.out / f"{name}.npz", predictions)


if __name__ == "__main__":
    run(main)
