"""What the slides report: the one place in the project where results are typed in."""

from typing import NamedTuple

SOURCE = (
    'the slide "Results – VAE vs. t-prior VAE" of the deck '
    '"Variational AutoEncoder (VAE) & Its Application to Missing Data Analysis"'
)


class Cell(NamedTuple):
    """One number of a results table: of the whole image, a mean over test images."""

    mechanism: str
    output: str
    metric: str


#: Printed with four decimals, from one run of each model.
SLIDES = {
    Cell("random", "prediction", "mse"): {"gauss": 0.0280, "t": 0.0247},
    Cell("random", "imputation", "mse"): {"gauss": 0.0091, "t": 0.0081},
    Cell("square", "prediction", "mse"): {"gauss": 0.0452, "t": 0.0405},
    Cell("square", "imputation", "mse"): {"gauss": 0.0244, "t": 0.0222},
    Cell("random", "prediction", "ssim_global"): {"gauss": 0.7676, "t": 0.8150},
    Cell("random", "imputation", "ssim_global"): {"gauss": 0.9443, "t": 0.9523},
    Cell("square", "prediction", "ssim_global"): {"gauss": 0.5746, "t": 0.6506},
    Cell("square", "imputation", "ssim_global"): {"gauss": 0.8247, "t": 0.8469},
}
