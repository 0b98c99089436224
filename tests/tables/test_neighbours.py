"""Donors against a double loop over rows and columns, and where there are few or none."""

import numpy as np
import pytest
import torch
from exact import F64, gen

from vaefill.tables import neighbours
from vaefill.tables.neighbours import References, fit_references, nearest

FOREIGN = -1


def table(n: int, p: int, share: float = 0.7) -> tuple[torch.Tensor, ...]:
    """Completed values, which of them are observed, residuals."""
    factor = torch.randn(n, 2, generator=gen(1)) @ torch.randn(2, p, generator=gen(2))
    completed = factor + 0.3 * torch.randn(n, p, generator=gen(3))
    observed = torch.rand(n, p, generator=gen(4)) < share
    return completed, observed, torch.randn(n, p, generator=gen(5))


def loop(completed, observed, references, row):
    """The definition, cell by cell, in float64."""
    x, seen = completed.double().numpy(), observed.numpy()
    y, known = references.completed.double().numpy(), references.observed.numpy()
    errors = references.residual.double().numpy()
    mean, residual = x.copy(), np.zeros_like(x)
    for i in range(len(x)):
        others = np.flatnonzero(references.index.numpy() != row[i].item())
        weights = np.where(seen[i], 1, 0.2) * np.where(known[others], 1, 0.2)
        distance = (weights * (x[i] - y[others]) ** 2).sum(1)
        order = distance.argsort()[: 5 + int(24 / known.mean())]
        others, distance = others[order], distance[order]
        kernel = (distance + 0.02 * max(distance[:6].mean(), 1e-3)) ** -2.0
        for j in range(x.shape[1]):
            first = np.flatnonzero(known[others, j])[:15]
            donors = others[first]
            mean[i, j] = np.average(y[donors, j], weights=kernel[first])
            residual[i, j] = np.average(errors[donors, j], weights=kernel[first])
    return mean, residual


@pytest.mark.parametrize("share", [0.7, 1.0])
@pytest.mark.parametrize("n", [20, 300, 2000])  # 2000 references are searched in groups
def test_donors_are_those_of_the_definition(share, n):
    completed, observed, residual = table(n, 5, share)
    references = fit_references(completed, observed, residual, generator=gen(6))
    some = torch.arange(0, n, n // 20)
    row = some.where(some % 2 == 0, FOREIGN)
    got = nearest(completed[some], observed[some], references, row)
    expected = loop(completed[some], observed[some], references, row)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_the_smallest_of_groups_are_the_smallest_of_all():
    distance = torch.rand(50, 4000, generator=gen(7))
    distance[:, ::7] = torch.inf
    for k in (1, 30, 165, 3000):
        values, places = neighbours._smallest(distance, k)
        torch.testing.assert_close(values, distance.sort().values[:, :k], rtol=0, atol=0)
        torch.testing.assert_close(distance.gather(1, places), values, rtol=0, atol=0)


def test_a_row_is_no_donor_of_its_own_but_its_twin_is():
    completed, observed, residual = table(500, 6)
    references = fit_references(completed, observed, residual, generator=gen(6), limit=250)
    inside = torch.isin(torch.arange(500), references.index)
    assert inside.sum() == 250
    itself, other = (
        nearest(completed, observed, references, row)[0]
        for row in (torch.arange(500), torch.full((500,), FOREIGN))
    )
    torch.testing.assert_close(itself[~inside], other[~inside], rtol=0, atol=0)
    theirs = inside[:, None] & observed
    # As a foreign row each has its twin at distance 0, which outweighs all others.
    assert (other - completed)[theirs].abs().mean() < 0.02
    assert (itself - completed)[theirs].abs().mean() > 0.1


def test_the_order_of_references_does_not_matter():
    completed, observed, residual = table(400, 5)
    shuffled = torch.randperm(400, generator=gen(8))
    row = torch.full((400,), FOREIGN)
    first, second = (
        nearest(completed, observed, References(*parts, torch.arange(400)), row)
        for parts in (
            (completed, observed, residual),
            (completed[shuffled], observed[shuffled], residual[shuffled]),
        )
    )
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_rows_are_answered_alike_alone_and_among_others():
    completed, observed, residual = table(400, 5)
    references = fit_references(completed, observed, residual, generator=gen(6))
    row = torch.arange(400)
    together = nearest(completed, observed, references, row)
    for i in (0, 127, 128, 399):
        some = slice(i, i + 1)
        alone = nearest(completed[some], observed[some], references, row[some])
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a, b[some], rtol=1e-3, atol=1e-4)


def test_one_reference_is_the_donor_of_every_other_row():
    completed, observed, residual = table(3, 4, 1.0)
    observed[0, 3] = False
    references = fit_references(
        completed[:1], observed[:1], residual[:1], generator=gen(6), limit=5
    )
    mean, error = nearest(completed, observed, references, torch.arange(3))
    torch.testing.assert_close(mean[1:, :3], completed[:1, :3].expand(2, 3))
    torch.testing.assert_close(error[1:, :3], residual[:1, :3].expand(2, 3))
    # A cell without donors: of the reference itself, and of a column that it lacks.
    torch.testing.assert_close(mean[0], completed[0], rtol=0, atol=0)
    torch.testing.assert_close(mean[:, 3], completed[:, 3], rtol=0, atol=0)
    assert not error[0].any()
    assert not error[:, 3].any()


def test_equal_rows_far_rows_and_no_rows_are_taken():
    completed, observed, residual = table(200, 4)
    completed[:150] = completed[0]
    references = fit_references(completed, observed, residual, generator=gen(6))
    mean, error = nearest(completed[:150], observed[:150], references, torch.arange(150))
    torch.testing.assert_close(mean, completed[:150], rtol=1e-4, atol=1e-4)
    assert error.isfinite().all()
    far = torch.tensor([[1e9, -1e9, 0, 1e9]], dtype=F64)
    for x in nearest(far, far > 0, references, torch.tensor([FOREIGN])):
        assert x.abs().max() < 10
    none = nearest(completed[:0], observed[:0], references, torch.arange(0))
    assert [x.shape for x in none] == [(0, 4)] * 2


def test_references_are_rows_of_the_table_chosen_with_the_generator():
    completed, observed, residual = table(100, 3)
    first, again, other = (
        fit_references(completed.double(), observed, residual, generator=gen(seed), limit=30)
        for seed in (1, 1, 2)
    )
    torch.testing.assert_close(first.completed, completed[first.index], rtol=0, atol=0)
    torch.testing.assert_close(first.residual, residual[first.index], rtol=0, atol=0)
    assert torch.equal(first.observed, observed[first.index])
    assert len(first.index.unique()) == 30
    assert torch.equal(first.index, again.index)
    assert not torch.equal(first.index, other.index)


def test_a_row_that_comes_back_is_recognised():
    completed, observed, residual = table(60, 6)
    references = fit_references(completed, observed, residual, generator=gen(6), limit=30)
    # Imputed cells may be imputed otherwise by now; another gap or value makes another row.
    again = completed.where(observed, completed + 1)
    known = nearest(again, observed, references, torch.arange(60))
    for a, b in zip(nearest(again, observed, references), known, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    changed = completed.where(~observed, completed + 1e-5)
    foreign = nearest(changed, observed, references, torch.full((60,), FOREIGN))
    for a, b in zip(nearest(changed, observed, references), foreign, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
