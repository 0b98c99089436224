"""Which cells are hidden: how many, which never, and all slots of a column together."""

import pytest
import torch
from exact import gen

from vaefill.tables.masks import hide, hold_out

# Of six slots two are a column of their own and four a categorical one, not side by side.
COLUMN = torch.tensor([0, 1, 2, 1, 1, 1])


def table(n: int, share: float = 0.6) -> torch.Tensor:
    return (torch.rand(n, 3, generator=gen(1)) < share)[:, COLUMN]


def held(observed: torch.Tensor, seed: int = 2) -> torch.Tensor:
    return hold_out(observed, COLUMN, 0.3, gen(seed))


def hidden(observed: torch.Tensor, seed: int = 2) -> torch.Tensor:
    return hide(observed, COLUMN, 0.2, 0.9, gen(seed))


@pytest.mark.parametrize("draw", [held, hidden])
def test_observed_cells_alone_are_drawn_whole_columns_of_them_and_never_a_whole_row(draw):
    observed = table(2000)
    drawn = draw(observed)
    assert drawn.any(0).all()
    assert not (drawn & ~observed).any()
    assert (drawn == drawn[:, [0, 1, 2]][:, COLUMN]).all()
    assert ((observed & ~drawn).any(1) == observed.any(1)).all()
    assert torch.equal(drawn, draw(observed))
    assert not torch.equal(drawn, draw(observed, seed=3))


@pytest.mark.parametrize("draw", [held, hidden])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_tables_of_few_rows_and_rows_without_cells_are_taken(draw, n):
    assert draw(table(n, 1.0)).shape == (n, 6)
    assert not draw(table(n, 0.0)).any()


def test_the_share_held_out_is_the_one_asked_for():
    observed = torch.rand(5000, 20, generator=gen(3)) < 0.8
    drawn = hold_out(observed, torch.arange(20), 0.1, gen(4))
    assert drawn[observed].float().mean().item() == pytest.approx(0.1, abs=5 * (0.09 / 8e4) ** 0.5)


def test_three_cells_of_a_column_are_never_held_out():
    observed = torch.arange(40)[:, None] >= torch.tensor([0, 36, 37, 38, 40])
    for seed in range(20):
        drawn = hold_out(observed, torch.arange(5), 0.95, gen(seed))
        assert not drawn[:, 2:].any()
        assert (observed & ~drawn).sum(0)[:2].min() >= 3
    assert drawn[:, :2].any(0).all()


def test_hidden_shares_are_uniform_from_row_to_row():
    observed = torch.ones(2000, 300, dtype=torch.bool)
    share = hide(observed, torch.arange(300), 0.1, 0.5, gen(5)).float().mean(1)
    levels = torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(share.quantile(levels), 0.1 + 0.4 * levels, atol=0.03, rtol=0)
