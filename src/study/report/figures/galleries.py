"""The report's pictures of digits: small grey images in, matplotlib figures out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.report.figures.style import COLOURS, DPI, NAMES, df_label, style
from study.trials.comparison import MODELS

Tiles = NDArray[np.uint8]

MISSING_TINT = (0.97, 0.80, 0.55)
FRAME = 0.87


@style()
def examples(shown: Mapping[str, Tiles]) -> dict[str, Figure]:
    """Show what both models make of the same test images, by the name of the figure.

    Parameters
    ----------
    shown : dict of str to uint8 array [n, 6, 28, 28]
        Per model, in columns: image, reconstruction, then missing (255) and prediction for random
        and for square.
    """
    image, _, random, _, square, _ = next(iter(shown.values())).swapaxes(0, 1)
    made = [{model: tiles[:, column] for model, tiles in shown.items()} for column in (1, 3, 5)]
    rows = [("original", "black", ink(image))]
    rows += [(NAMES[model], COLOURS[model], ink(made[0][model])) for model in MODELS]
    return {
        "reconstructions": sheet(rows, breaks=(1,)),
        "missing_random": _missing_pixels(image, random, made[1]),
        "missing_square": _missing_pixels(image, square, made[2]),
    }


def _missing_pixels(images: Tiles, missing: Tiles, predictions: Mapping[str, Tiles]) -> Figure:
    """Show test images, what was missing of them, and what each model puts there."""
    hidden = missing > 0
    masked = np.where(hidden[..., None], MISSING_TINT, ink(images))
    rows = [("original", "black", ink(images)), ("masked", "black", masked)]
    for model in MODELS:
        name, colour, prediction = NAMES[model], COLOURS[model], predictions[model]
        rows.append((f"{name}\nprediction", colour, ink(prediction)))
        rows.append((f"{name}\nimputation", colour, ink(np.where(hidden, prediction, images))))
    return sheet(rows, breaks=(2, 4))


@style()
def samples(sheets: Mapping[str, Tiles], df: float) -> Figure:
    """Show images decoded from draws of each prior.

    Parameters
    ----------
    sheets : dict of str to uint8 array [rows, columns, 28, 28]
        Per model, decoded draws.
    df : float
        Degrees of freedom of the t prior.
    """
    titles = {"gauss": "Gaussian prior, N(0, 1)", "t": f"t prior, {df_label(df)}"}
    scale, gap, top = 2, 40, 44
    mosaics = {model: _mosaic(sheets[model]) for model in MODELS}
    height, width = (scale * side for side in mosaics["gauss"].shape[:2])
    figure = _pixels(2 * width + 3 * gap, height + top + gap // 2)
    for column, model in enumerate(MODELS):
        left = gap + column * (width + gap)
        ax = _place(figure, mosaics[model], left, top, scale)
        ax.set_title(titles[model], color=COLOURS[model])
    return figure


def ink(grey: Tiles) -> NDArray[np.float64]:
    """Turn images into colours: dark ink on white paper."""
    return np.repeat(1 - grey[..., None] / 255, 3, axis=-1)


def _strip(tiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put tiles [n, h, w, 3] side by side, with a thin frame around each."""
    right_and_below = ((0, 0), (0, 1), (0, 1), (0, 0))
    strip = np.concatenate(list(np.pad(tiles, right_and_below, constant_values=FRAME)), axis=1)
    return np.pad(strip, ((1, 0), (1, 0), (0, 0)), constant_values=FRAME)


def _mosaic(sheet: Tiles) -> NDArray[np.float64]:
    """Stack rows of tiles; neighbouring rows share the frame between them."""
    first, *others = (_strip(ink(row)) for row in sheet)
    return np.concatenate([first, *(row[1:] for row in others)])


def sheet(rows: Sequence[tuple[str, str, NDArray[np.float64]]], breaks: Sequence[int]) -> Figure:
    """Draw labelled rows of tiles, with space before the rows in `breaks`."""
    scale, margin, gap = 4, 150, 22
    strips = [_strip(tiles) for _, _, tiles in rows]
    height, width = (scale * side for side in strips[0].shape[:2])
    height -= scale  # neighbouring rows share the frame between them
    figure = _pixels(margin + width + 10, len(rows) * height + len(breaks) * gap + 20)
    for row, ((label, colour, _), strip) in enumerate(zip(rows, strips, strict=True)):
        top = 10 + row * height + gap * sum(row >= place for place in breaks)
        ax = _place(figure, strip, margin, top, scale)
        ax.set_ylabel(label, color=colour, rotation=0, ha="right", va="center", labelpad=6)
    return figure


def _pixels(width: int, height: int) -> Figure:
    return Figure(figsize=(width / DPI, height / DPI))


def _place(figure: Figure, image: NDArray[np.float64], left: int, top: int, scale: int) -> Axes:
    """Draw an image so that each of its pixels is `scale` pixels of the figure: all equal."""
    width, height = figure.get_size_inches() * DPI
    h, w = (scale * side for side in image.shape[:2])
    ax = figure.add_axes((left / width, 1 - (top + h) / height, w / width, h / height))
    ax.imshow(image, interpolation="nearest", aspect="auto")
    ax.grid(visible=False)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax
