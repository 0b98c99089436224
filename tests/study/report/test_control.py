"""What the pages say of the control, from scores made up for it."""

import re

import numpy as np
import pandas as pd
import pytest
from control_files import GAIN, scores

from study.control.cases import COLUMNS, DIVERGED, LOG_LIKELIHOOD, ORACLE
from study.report import control
from study.report.figures.control import gains as figure
from study.report.figures.style import to_png
from study.report.render import render
from vaefill.errors import InputError
from vaefill.storage import save_table


def said(table, **others):
    page = {"control": control.section(table), "several": True, "dataset": "MNIST"}
    page |= {"power": pd.DataFrame({"a": ["b"]}), **others}
    return render("control.md.j2", page)


def test_gains_stand_with_their_intervals():
    table = control.section(scores())["gains"]
    assert list(table["decoder"]) == ["linear"] * 3 + ["nonlinear"] * 3
    assert list(table["by log-likelihood, t is"]) == ["worse", "better", "better"] * 2
    assert table["log-likelihood, nats per row"][2].startswith("+0.8")
    assert table["oracle, nats"][2] == "+0.90"
    assert re.match(r"−[78]\.\d %", table["RMSE"][2])
    assert table["oracle, RMSE"][2] == "−9.0 %"


def test_the_page_says_that_the_t_was_found():
    text = said(scores())
    assert "Yes, both ways." in text
    noise = [np.random.default_rng(seed).normal(0, 0.01) for seed in range(3)]
    least, most = GAIN["shared_t"] + min(noise), -GAIN["gauss"] - max(noise)
    assert f"(+{least:.2f} at least, −{most:.2f} at most)" in text
    assert "when 80 % are missing" in text
    assert "diverged" not in text


@pytest.mark.parametrize("codes", ["gauss", "shared_t"])
def test_a_gate_that_does_not_hold_is_said(codes):
    wrong = {"gauss": 0.05, "shared_t": 0.3}
    text = said(scores(gain={**GAIN, codes: wrong[codes]}))
    assert "This cannot be said" in text
    assert "it did not" in text


@pytest.mark.parametrize("n", [1, 2])
def test_few_seeds_make_a_page(n):
    text = said(scores(seeds=range(n)), several=n > 1)
    assert ("cannot be told" in text) == (n == 1)
    assert ("One seed of the control cannot tell" in text) == (n == 1)
    assert ("Yes, both ways" in text) == (n == 2)
    assert to_png(figure(scores(seeds=range(n))))[:4] == b"\x89PNG"


def test_an_interval_that_holds_0_shows_nothing():
    table = scores(seeds=range(2))
    table.loc[table["seed"] == 1, "value"] *= 1.5  # 0.5 and 1.2 nats, and two seeds
    assert "This cannot be said" in said(table)


def test_a_training_that_diverged_is_named_and_counts_for_nothing():
    table = scores()
    lost = (table["codes"] == "shared_t") & (table["model"] != ORACLE) & (table["seed"] == 2)
    rows = table[lost & (table["metric"] == LOG_LIKELIHOOD)].assign(metric=DIVERGED, value=6.0)
    table = pd.concat([table[~lost], rows])
    text = said(table)
    assert "Yes, both ways" in text
    assert re.search(r"multivariate t *\| nonlinear *\| multivariate t *\| +2 \| +6", text)
    assert f"| {DIVERGED}" not in text
    assert to_png(figure(table))[:4] == b"\x89PNG"


def test_a_broken_table_is_refused(tmp_path):
    path = tmp_path / "control.csv"
    save_table(path, COLUMNS, scores().replace("linear", "curved").itertuples(index=False))
    with pytest.raises(InputError, match=r"line 2: truth 'curved' must be one of linear"):
        control.load(path)
    save_table(path, COLUMNS, scores().query("truth != 'linear'").itertuples(index=False))
    with pytest.raises(InputError, match="no seed has both models' scores of truth linear"):
        control.load(path)
    save_table(path, COLUMNS, scores().itertuples(index=False))
    assert len(control.load(path)) == len(scores())
