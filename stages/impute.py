"""Stage `impute`: predict the test images of one model, per mechanism of missingness."""

from collections.abc import Sequence

import numpy as np
import torch

from study.params import Params, parse_paths, read_params, run
from vaefill import storage
from vaefill.inference.single_pass import predict
from vaefill.models.vae import load_vae
from vaefill.training.devices import Device, pick_device


class ImputeParams(Params):
    """What `impute` reads."""

    device: Device


def main(argv: Sequence[str] | None = None) -> None:
    """Write one array of predictions per mechanism; ``none`` is the plain reconstruction."""
    args = parse_paths(argv, "--model", "--split", "--missing", "--out")
    params = read_params(ImputeParams)
    vae = load_vae(args.model, device=pick_device(params.device))
    images = storage.load_arrays(args.split)["test_images"] / np.float32(255)
    none = {"none": np.zeros(images.shape, bool)}
    for mechanism, missing in (none | storage.load_arrays(args.missing)).items():
        prediction = predict(vae, torch.from_numpy(images), torch.from_numpy(missing))
        storage.save_array(args.out / f"{mechanism}.npy", prediction.numpy())


if __name__ == "__main__":
    run(main)
