"""Numbers and tables as they are read."""

import numpy as np
import pandas as pd
import pytest

from study.report import formats


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.number(-1.234, "elbo"), "−1.23"),
        (formats.number(0.0123456, "mse/random/imputation"), "0.01235"),
        (formats.number(np.nan, "mse"), "–"),
        (formats.signed(0.5, "ssim"), "+0.5000"),
        (formats.signed(-0.000001, "mse"), "0.00000"),
        (formats.percent(-0.1234), "−12.3 %"),
        (formats.percent(0.0), "0.0 %"),
        (formats.plus_minus(1, 0.5, "elbo"), "1.00 ± 0.50"),
        (formats.plus_minus(1, np.nan, "elbo"), "1.00"),
        (formats.difference(1, -1, 3, "elbo"), "+1.00 [−1.00, +3.00]"),
        (formats.difference(1, np.nan, np.nan, "elbo"), "+1.00"),
        (formats.relative(1, -1, 3, 10), "+10.0 % [−10.0 %, +30.0 %]"),
        # An end that rounds to 0 shows its side, where the interval has one.
        (formats.relative(-0.021, -0.041, -0.0004, 1), "−2.1 % [−4.1 %, −0.04 %]"),
        (formats.difference(1, 0.0002, 3, "elbo"), "+1.00 [+0.0002, +3.00]"),
        (formats.difference(1, 1e-9, 3, "elbo"), "+1.00 [0.00, +3.00]"),
        (formats.difference(1, -0.0002, 3, "elbo"), "+1.00 [0.00, +3.00]"),
        (formats.difference(0, 0, 0, "elbo"), "0.00 [0.00, 0.00]"),
        (formats.chance(0.00009), "< 0.01 %"),
        (formats.chance(0.0023), "0.23 %"),
        (formats.chance(0.03), "3.0 %"),
        (formats.chance(np.nan), "–"),
        (formats.chance(1.0), "100 %"),
        (formats.times(-1.25), "−1.2 ×"),
        (formats.seeds([0]), "seed 0"),
        (formats.seeds((0, 2)), "seeds 0, 2"),
    ],
)
def test_numbers(text, expected):
    assert text == expected


def test_table_keeps_texts_as_they_are():
    frame = pd.DataFrame({"name": ["a", "b"], "value": ["0.10", "−1e5"]})
    header, rule, *rows = formats.table(frame).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == ["name", "value"]
    assert [cell[0] + cell[-1] for cell in rule.strip("|").split("|")] == [":-", "-:"]
    assert [row.split("|")[2].strip() for row in rows] == ["0.10", "−1e5"]
