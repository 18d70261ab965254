"""Clusters of a table that is read in blocks of rows are those of the table in memory."""

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from pyro_vmm.clustering import Clusters, merge_tree, row_blocks
from pyro_vmm.clustering.merging import Merging
from pyro_vmm.clustering.row_blocks import RowBlocks, blocks_of_rows, is_settled

COMPONENTS = 12


@pytest.fixture
def table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Responsibilities ``[N, K]``, many of them undecided, and latents ``[N, 2]``."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(COMPONENTS, 2)) * 3.0
    z = centres[rng.integers(COMPONENTS, size=700)] + rng.normal(size=(700, 2))
    logits = -0.5 * np.square(z[:, None] - centres).sum(-1)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    # A duplicate that is nobody's likeliest.
    shares[:, 3] = 0.9 * shares[:, 2]
    return shares / shares.sum(1, keepdims=True), z


@pytest.fixture
def few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "ROWS_AT_ONCE", 100)


@pytest.mark.parametrize("merging", get_args(Merging))
def test_clusters_do_not_depend_on_the_size_of_blocks(
    table: tuple[NDArray[np.float64], NDArray[np.float64]], merging: Merging, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares, z = table
    whole = Clusters.of(shares, z, shares.mean(0), merging)
    monkeypatch.setattr(row_blocks, "ROWS_AT_ONCE", 100)
    read: list[slice] = []
    blocks = RowBlocks(shares.shape, _noted(shares, read))
    cut = Clusters.of(blocks, z, shares.mean(0), merging)
    assert max(rows.stop - rows.start for rows in read) == 100
    assert (cut.joined == whole.joined).all()
    assert (cut.order == whole.order).all()
    assert cut.number == whole.number
    assert cut.merge_tree.costs == pytest.approx(whole.merge_tree.costs, rel=1e-12, abs=1e-12)
    assert (cut.assign(blocks) == whole.arrange(shares).argmax(1)).all()


def test_sums_over_rows_have_the_same_digits(
    table: tuple[NDArray[np.float64], NDArray[np.float64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = merge_tree(table[0]).masses
    monkeypatch.setattr(row_blocks, "ROWS_AT_ONCE", 100)
    assert merge_tree(table[0]).masses == whole


def test_undecided_observations_are_those_that_joining_others_can_move() -> None:
    shares = np.array([[0.6, 0.4, 0.0], [0.4, 0.3, 0.3], [0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    assert is_settled(shares).tolist() == [True, False, False, True]


@pytest.mark.parametrize(("number", "ends"), [(0, [0]), (1, [1]), (100, [100]), (101, [100, 101])])
def test_blocks_cover_all_rows_once(number: int, ends: list[int], few_rows_at_once: None) -> None:
    blocks = blocks_of_rows(number)
    assert [rows.stop for rows in blocks] == ends
    assert [rows.start for rows in blocks] == [0, *ends[:-1]]


def _noted(shares: NDArray[np.float64], read: list[slice]) -> Callable[[slice], NDArray[np.float64]]:
    def block(rows: slice) -> NDArray[np.float64]:
        read.append(rows)
        return shares[rows]

    return block
