"""The answer in words: every sentence is computed from the numbers, and none is typed in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from study.report.reproduction import (
    CLAIMS,
    TOLERANCE,
    claims_inside,
    pairs_reaching,
    recipe_change,
    reproduced,
    share,
    spreads,
    times,
)
from study.report.results import MECHANISMS, MODELS, SLIDES_RECIPE, Results
from study.report.summary import summarise
from study.report.tables import (
    CELLS,
    COLUMN_NAMES,
    MECHANISM_NAMES,
    cell_numbers,
    difference,
    number,
    percent,
    verdict_of,
)
from study.slides import SLIDES, Cell

WHERE = {
    MECHANISMS: ", whether random pixels or a square are missing",
    ("random",): " where random pixels are missing",
    ("square",): " where a square is missing",
}
ANSWERS = {
    "better": "Yes: the t prior fills them in better",
    "worse": "No: the t prior fills them in worse",
    "no difference found": "No difference found",
    "cannot be told": "One seed cannot tell",
}
WHY_NO_INTERVAL = (
    "A spread needs at least two seeds, so there is no interval, and nothing here can tell a "
    "difference between the models from chance."
)
#: The two numbers that the answer is about.
MAIN = {mechanism: Cell(mechanism, "imputation", "mse") for mechanism in MECHANISMS}


def conclusion(
    results: Mapping[str, Results],
    *,
    train: Mapping[str, Mapping[str, Any]],
    slides: bool,
    findings: Sequence[str] = (),
) -> str:
    """Answer the question; a direction is named only where an interval over seeds excludes 0.

    Parameters
    ----------
    results : dict of str to Results
        Per training recipe; the same seeds in each.
    train : dict of str to dict
        Per recipe, what ``params.yaml`` says of it; ``epochs`` and ``schedule`` are read.
    slides : bool
        Whether the slides' numbers may stand beside these.
    findings : sequence of str
        Sentences computed elsewhere, on other models than these two.

    Returns
    -------
    str
        Markdown: a headline, then one item per statement.
    """
    summary = {recipe: summarise(runs) for recipe, runs in results.items()}
    n_seeds = len(next(iter(results.values())).seeds)
    items = [_effect(recipe, summary[recipe], train[recipe], n_seeds) for recipe in results]
    if slides and SLIDES_RECIPE in results:
        reference = results[SLIDES_RECIPE]
        items.append(_reproduction(reference))
        others = (recipe for recipe in results if recipe != SLIDES_RECIPE)
        items += [_recipe_alone(reference, results[recipe], recipe) for recipe in others]
        if n_seeds > 1:
            items.append(_what_it_takes(reference))
    if findings:
        nested = "".join(f"\n  - {finding}" for finding in findings)
        items.append(f"**Beside this comparison**, the sweep over other models shows:{nested}")
    return "\n".join(
        [
            f"**{_headline(summary)}**",
            "",
            *(f"- {item}" for item in items),
            "",
            _basis(n_seeds, len(results)),
        ]
    )


def _headline(summary: Mapping[str, Any]) -> str:
    """Say per verdict on the imputation's MSE where it holds."""
    sentences = []
    for word, answer in ANSWERS.items():
        places: dict[tuple[str, ...], list[str]] = {}
        for recipe, part in summary.items():
            found = tuple(m for m, cell in MAIN.items() if _verdict(part, cell) == word)
            if found:
                places.setdefault(found, []).append(f"`{recipe}`")
        where = " and".join(_place(*place, len(summary)) for place in places.items())
        sentences += [f"{answer}{where}."] * bool(places)
    return " ".join(sentences)


def _place(mechanisms: tuple[str, ...], recipes: Sequence[str], n_recipes: int) -> str:
    named = f", with recipe {' as with '.join(recipes)}" if n_recipes > 1 else ""
    return f"{WHERE[mechanisms]}{named}"


def _effect(recipe: str, summary: Mapping[str, Any], train: Mapping[str, Any], n_seeds: int) -> str:
    """Say what the t prior does with one recipe."""
    sizes = [f"\n  - {_size(summary, mechanism)}" for mechanism in MECHANISMS]
    schedule = train["schedule"].replace("_", "-")
    text = f"**Recipe `{recipe}`**, {train['epochs']} epochs with a {schedule} learning rate"
    if n_seeds == 1:
        return f"{text}.{''.join(sizes)}"
    counts = Counter(_verdict(summary, cell) for cell in CELLS)
    cells = ", ".join(f"{word} in {counts[word]}" for word in ANSWERS if counts[word])
    elbo = summary["elbo"]["elbo"]
    bound = f"{difference('elbo', elbo)} nats, {verdict_of('elbo', elbo)}"
    return (
        f"{text}. Over the {len(CELLS)} cells of its table the t prior is: {cells}. Test ELBO, t − "
        f"Gaussian: {bound}.{''.join(sizes)}"
    )


def _size(summary: Mapping[str, Any], mechanism: str) -> str:
    numbers = cell_numbers(summary, MAIN[mechanism])
    means = [number("mse", numbers[model]) for model in MODELS]
    word = "" if numbers["diff_low"] is None else f": {verdict_of('mse', numbers)}"
    return (
        f"{MECHANISM_NAMES[mechanism].capitalize()} missing: mean squared error of the imputation "
        f"{means[0]} (Gaussian) and {means[1]} (t prior), {_relative(numbers)}{word}."
    )


def _reproduction(results: Results) -> str:
    """Count what of the slides' table comes out again."""
    counts = []
    for model in MODELS:
        near = sum(abs(off) <= TOLERANCE for off in reproduced(results, model).values())
        counts.append(f"of the {COLUMN_NAMES[model]} column {near}")
    text = (
        f"**What reproduces of the slides' {len(CELLS)} cells**, to within {100 * TOLERANCE:g} % "
        f"of the error: {', '.join(counts)}."
    )
    if len(results.seeds) == 1:
        return text
    n_pairs = len(CELLS) * len(results.seeds)
    return (
        f"{text} Their difference between the models lies inside our interval in "
        f"{len(claims_inside(results))} cells, and {pairs_reaching(results)} of our {n_pairs} "
        "single pairs of values differ as far in their direction."
    )


def _recipe_alone(reference: Results, other: Results, name: str) -> str:
    """Say how much of the slides' difference the training recipe alone makes."""
    changes = {cell: recipe_change(reference, other, cell) for cell in CELLS}
    main = (f"{_relative(changes[c])} with {MECHANISM_NAMES[m]} missing" for m, c in MAIN.items())
    claimed = (percent(CLAIMS[cell] / SLIDES[cell]["gauss"]) for cell in MAIN.values())
    ratios = [changes[cell]["diff"] / CLAIMS[cell] for cell in CELLS]
    return (
        f"**The training recipe alone**, `{name}` instead of `{SLIDES_RECIPE}`, changes the "
        f"imputation's mean squared error of the Gaussian model by {' and '.join(main)}; the "
        f"slides' t prior changes theirs by {' and '.join(claimed)}. Over the {len(CELLS)} cells "
        f"it makes {times(min(ratios))} to {times(max(ratios))} the slides' difference."
    )


def _what_it_takes(results: Results) -> str:
    """Say how rare a pair of runs such as the slides' would be here."""
    found = spreads(results)
    lying = " and ".join(
        f"{found[cell].distance:.1f} ({MECHANISM_NAMES[mechanism]} missing)"
        for mechanism, cell in MAIN.items()
    )
    chances = " and ".join(share(found[cell].chance) for cell in MAIN.values())
    return (
        "**What would have to be true.** The slides compare one pair of runs. Their difference "
        f"lies {lying} standard deviations of ours between seeds away from our mean; one more "
        f"pair of runs here would go as far in {chances} of cases, and in at most "
        f"{share(max(s.chance for s in found.values()))} in any of the {len(CELLS)} cells."
    )


def _basis(n_seeds: int, n_recipes: int) -> str:
    """Say how many runs stand behind it all."""
    runs = f"{n_seeds} training run{'s' * (n_seeds > 1)} of each model"
    each = " with each recipe" * (n_recipes > 1)
    same = "The two models differ in the latent distribution alone."
    if n_seeds == 1:
        return f"From {runs}{each}. {same} {WHY_NO_INTERVAL}"
    return (
        f"From {runs}{each}, which differ in the seed alone. {same} Brackets hold 95 % intervals "
        "over seeds."
    )


def _verdict(summary: Mapping[str, Any], cell: Cell) -> str:
    return verdict_of(cell.metric, cell_numbers(summary, cell))


def _relative(numbers: Mapping[str, Any]) -> str:
    """Format a difference relative to the first mean, with its interval where it has one."""
    values = [numbers[key] for key in ("diff", "diff_low", "diff_high")]
    mean, *ends = (percent(value / numbers["gauss"]) for value in values if value is not None)
    return f"{mean} [{', '.join(ends)}]" if ends else mean
