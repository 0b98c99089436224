"""Stage `baselines`: the missing test pixels, without a VAE."""

from collections.abc import Sequence

import numpy as np
import torch

from study.params import Count, Params, parse_paths, read_params, run
from vaefill import storage
from vaefill.baselines import BASELINES
from vaefill.training.devices import Device, pick_device


class BaselinesParams(Params):
    """What `baselines` reads."""

    device: Device
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write one array of predictions per mechanism and baseline, in half precision."""
    args = parse_paths(argv, "--split", "--missing", "--out")
    device = pick_device(read_params(BaselinesParams).device)
    split = storage.load_arrays(args.split)
    train, test = (
        torch.from_numpy(split[f"{part}_images"] / np.float32(255)).to(device)
        for part in ("train", "test")
    )
    predictions = {
        f"{mechanism}/{name}": impute(train, test, torch.from_numpy(gaps).to(device))
        .cpu()
        .numpy()
        .astype(np.float16)
        for mechanism, gaps in storage.load_arrays(args.missing).items()
        for name, impute in BASELINES.items()
    }
    storage.save_arrays(args.out, predictions)


if __name__ == "__main__":
    run(main)
