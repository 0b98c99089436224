"""The report in words: every sentence about the results is computed from the numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from study.report.conclusion import WHY_NO_INTERVAL, conclusion
from study.report.images import Images, intervals, outliers
from study.report.imputation_page import TITLE
from study.report.reproduction import recipes_table, reproduction, spread_table
from study.report.results import SLIDES_RECIPE, Results
from study.report.tables import (
    CELLS,
    bounds_table,
    latent_table,
    params_table,
    results_table,
    seed_names,
)
from study.slides import SOURCE

CAPTIONS = {
    "comparison": "Top: each model's scores, one dot per seed, the bar the 95 % interval of "
    "their mean{slides}. Bottom: the change of the error from the Gaussian model to the t prior, "
    "paired by seed, relative to the Gaussian model's error.",
    "tails": "Quantiles of the codes of test images, in the coordinates that are in use, against "
    "those of the prior: thick the mean over seeds, thin the seeds. On the grey line the codes "
    "are spread as the prior is; flatter means less far out.",
    "density": "The density of the t prior with {df} degrees of freedom against the normal "
    "density, per latent coordinate; on the right with a logarithmic axis, which shows the tails.",
    "training": "Loss per epoch, recipe by recipe. Thick lines are means over seeds, thin lines "
    "the seeds; the first epochs leave the axis at the top.",
    "reconstructions": "Test images without missing pixels, and what each model makes of them "
    "({run}).",
    "samples": "Images decoded from draws of each prior ({run}).",
    "missing_random": "Random pixels missing (tinted). A prediction is the decoder's whole "
    "output; an imputation keeps the observed pixels ({run}).",
    "missing_square": "A square missing (tinted); rows as above ({run}).",
}
#: Those that stand beside a table, not under "Figures".
PLACED = ("comparison", "tails")


def render(
    results: Mapping[str, Results],
    images: Mapping[str, Images],
    params: Mapping[str, Any],
    findings: Sequence[str] = (),
    imputers: str = "",
) -> str:
    """Write the whole report as Markdown.

    Parameters
    ----------
    results : dict of str to Results
        Every run's numbers, per training recipe.
    images : dict of str to Images
        Per recipe, the comparison image by image.
    params : dict
        The params that the runs were made with; all of them are shown. Beside the slides stands
        only what was run on ``mnist``.
    findings : sequence of str
        Sentences for the conclusion, computed elsewhere.
    imputers : str
        What is said of other ways to impute, written elsewhere.
    """
    slides = params["dataset"] == "mnist"
    seeds = next(iter(results.values())).seeds
    shown = list(results)[-1]
    words = {
        "df": f"{params['df']:g}",
        "run": f"recipe `{shown}`, seed {seeds[0]}",
        "slides": "; a hollow diamond is the slides' value" * (slides and SLIDES_RECIPE in results),
    }
    figures = {name: _figure(name, words) for name in CAPTIONS}
    sections = [
        "# Does a t prior fill in missing pixels better than a Gaussian one?",
        conclusion(results, train=params["train"], slides=slides, findings=findings),
        "## What was run",
        _what_was_run(results, params),
        "## The slides' table" if slides else "## The table",
        _table_note(seeds, slides=slides),
        *_tables(results, slides=slides),
        figures["comparison"],
        "## Two kinds of intervals",
        intervals(results, images),
        "## What reproduces, what does not, and what it would take",
        *_against_the_slides(results, params),
        *([f"## {TITLE}", imputers] if imputers else []),
        "## ELBO and log-likelihood",
        _bounds_note(params),
        bounds_table(results),
        "## The latent space",
        _latent_note(params),
        latent_table(results),
        figures["tails"],
        "## The least likely images",
        outliers(images),
        "## Figures",
        *(figure for name, figure in figures.items() if name not in PLACED),
        "## How reliable these numbers are",
        _reliability(seeds, len(results)),
    ]
    return "\n\n".join(sections) + "\n"


def _what_was_run(results: Mapping[str, Results], params: Mapping[str, Any]) -> str:
    environments = dict.fromkeys(
        ", ".join(f"{name} {value}" for name, value in sorted(run["environment"].items()))
        for part in results.values()
        for run in part.runs.values()
    )
    split = params["split"]
    recipes = [
        f"- Recipe `{name}`: {', '.join(f'{k} {v}' for k, v in params['train'][name].items())}."
        for name in results
    ]
    lines = [
        f"- Dataset `{params['dataset']}`: {split['test_size']:,} images for the test, "
        f"{split['valid_size']:,} for validation, the others for training.",
        *recipes,
        f"- Trained with: {' and '.join(environments)}.",
        "",
        f"<details><summary>All params</summary>\n\n{params_table(params)}\n\n</details>",
    ]
    return "\n".join(lines)


def _table_note(seeds: Sequence[int], *, slides: bool) -> str:
    spread = " ± half the width of its 95 % interval" if len(seeds) > 1 else ""
    note = (
        f"Scores of whole test images; pixels in [0, 1]. Ours is the mean over {seed_names(seeds)}"
        f"{spread}; t − Gaussian is paired by seed. SSIM uses one window over the whole image, as "
        "the slides do; the last rows use scikit-image's 7 × 7 windows and are not comparable."
    )
    return f"{note} The slides' numbers are from {SOURCE}: one run of each." if slides else note


def _tables(results: Mapping[str, Results], *, slides: bool) -> Iterator[str]:
    for recipe, runs in results.items():
        yield f"### Recipe `{recipe}`"
        yield results_table(runs, slides=slides and recipe == SLIDES_RECIPE)


def _against_the_slides(results: Mapping[str, Results], params: Mapping[str, Any]) -> Iterator[str]:
    if params["dataset"] != "mnist":
        yield (
            f"The slides report MNIST and this is `{params['dataset']}`: beside theirs these "
            "numbers would mean nothing, so only ours are shown."
        )
        return
    if SLIDES_RECIPE not in results:
        yield (
            f"No run here was trained as in the slides: that is recipe `{SLIDES_RECIPE}`, and it "
            "is not among `recipes` in `params.yaml`."
        )
        return
    reference = results[SLIDES_RECIPE]
    yield reproduction(reference)
    yield "### What would have to be true"
    if len(reference.seeds) > 1:
        yield (
            "The slides' difference against the spread of ours between seeds (sd, of t − "
            "Gaussian, one pair of runs per seed): its distance from our mean, and the chance "
            "that one more pair of runs goes at least as far, if such differences are normal. "
            "With mean and sd from so few pairs, that chance is Student's t with "
            f"{len(reference.seeds) - 1} degrees of freedom."
        )
        yield spread_table(reference)
    else:
        yield WHY_NO_INTERVAL
    others = [recipe for recipe in results if recipe != SLIDES_RECIPE]
    if others:
        yield "### What the training recipe alone makes"
        yield (
            "The Gaussian model alone, trained with one recipe and with another, paired by seed, "
            "beside the difference that the slides put down to the prior."
        )
    for recipe in others:
        yield recipes_table(reference, results[recipe], (SLIDES_RECIPE, recipe))


def _bounds_note(params: Mapping[str, Any]) -> str:
    importance = params["evaluate"]["importance"]
    note = (
        "In nats per test image without missing pixels; higher is better. ELBO = reconstruction − "
        "KL: the KL is exact for both models, the reconstruction a mean over draws. The "
        f"log-likelihood is the importance-sampling bound with K = {importance['n_draws']} draws "
        f"from the posterior, over {importance['images']:,} images; its effective draws, of K, "
        "say how many of them carry it: where they are few, it is a loose bound."
    )
    if params["likelihood"] != "bernoulli":
        return note
    return (
        f"{note} The Bernoulli term of a grey pixel is no normalised density, so that these "
        "numbers compare the two models with each other, and neither with published ones."
    )


def _latent_note(params: Mapping[str, Any]) -> str:
    note = (
        "A coordinate is active where the mean of its posterior varies over the test images by "
        "more than 0.01 (variance; Burda, Grosse and Salakhutdinov, arXiv:1509.00519). A dead unit "
        "is a hidden unit that is 0 for every test image. The KL of each coordinate, in nats per "
        "image, is sorted within a run, then averaged over seeds."
    )
    if params["joint"] != "multivariate":
        return note
    return f"{note} The coordinates of the t share one draw: their KLs do not add up to the KL."


def _reliability(seeds: Sequence[int], n_recipes: int) -> str:
    each = " with each recipe" * (n_recipes > 1)
    if len(seeds) == 1:
        return (
            f"One training run of each model{each} ({seed_names(seeds)}) stands behind every "
            f"number. {WHY_NO_INTERVAL} List more `seeds` in `params.yaml`."
        )
    n_looks = len(CELLS) * n_recipes
    return (
        f"{len(seeds)} training runs of each model{each} ({seed_names(seeds)}) stand behind every "
        "number. Intervals over so few seeds assume that the differences between them are "
        "normal. All runs share the test images and the missing pixels. The "
        f"{n_looks} differences of the tables are {n_looks} looks at the same runs: even between "
        "equal models, about one interval in 20 excludes 0 by chance."
    )


def _figure(name: str, words: Mapping[str, str]) -> str:
    caption = CAPTIONS[name].format(**words)
    return f"![{name.replace('_', ' ')}](figures/{name}.png)\n\n*{caption}*"
