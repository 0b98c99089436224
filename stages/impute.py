"""Stage `impute`: predict the test images with the models of all seeds, per mechanism."""

from collections.abc import Sequence

import numpy as np
import torch

from study.params import Count, Params, Seeds, parse_paths, read_params, run
from vaefill import storage
from vaefill.inference import predict
from vaefill.models import load
from vaefill.training.devices import Device, pick_device


class ImputeParams(Params):
    """What `impute` reads."""

    device: Device
    seeds: Seeds
    threads: Count


def main(argv: Sequence[str] | None = None) -> None:
    """Write one array of predictions per seed and mechanism; ``none`` is the reconstruction."""
    args = parse_paths(argv, "--models", "--split", "--missing", "--out")
    params = read_params(ImputeParams)
    device = pick_device(params.device)
    images = storage.load_arrays(args.split)["test_images"] / np.float32(255)
    none = {"none": np.zeros(images.shape, bool)}
    missing = none | storage.load_arrays(args.missing)
    for seed in params.seeds:
        vae = load(args.models / f"{seed}.safetensors", device=device)
        for mechanism, gaps in missing.items():
            prediction = predict(vae, torch.from_numpy(images), torch.from_numpy(gaps))
            storage.save_array(args.out / str(seed) / f"{mechanism}.npy", prediction.numpy())


if __name__ == "__main__":
    run(main)
