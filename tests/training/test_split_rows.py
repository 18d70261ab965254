"""Which rows are held out, and that no group of rows is held out whole."""

import anndata
import numpy as np
import pandas as pd
import pytest

from pyro_vmm import SingleCellVMM
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.training import split_rows


def drawn(number: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The split without groups, as version 0.1 drew it."""
    held_out = min(round(fraction * number), number - 2)
    order = np.random.default_rng(seed).permutation(number)
    return np.sort(order[max(held_out, 0) :]), np.sort(order[: max(held_out, 0)])


def assert_split(split: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    for mine, theirs in zip(split, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(("number", "fraction"), [(2, 0.5), (3, 0.9), (10, 0.0), (10, 0.1), (101, 0.37), (50, 1.0)])
def test_without_groups_and_without_a_group_at_risk_the_split_is_the_seeds_own(number: int, fraction: float) -> None:
    for seed in range(5):
        expected = drawn(number, fraction, seed)
        assert_split(split_rows(number, fraction, seed), expected)
        assert_split(split_rows(number, fraction, seed, [np.zeros(number, dtype=np.int64)]), expected)
        groups = np.zeros(number, dtype=np.int64)
        groups[expected[0][:1]] = 1  # a group of one row, which is trained on
        assert_split(split_rows(number, fraction, seed, [groups]), expected)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_group_is_never_held_out_whole(size: int) -> None:
    at_risk = 0
    for seed in range(200):
        groups = np.zeros(60, dtype=np.int64)
        groups[np.arange(size) * 7 + 3] = 1
        training, held_out = split_rows(60, 0.5, seed, [groups])
        assert sorted([*training, *held_out]) == list(range(60))
        assert len(held_out) == 30
        assert (np.diff(training) > 0).all()
        assert (np.diff(held_out) > 0).all()
        if not groups[drawn(60, 0.5, seed)[0]].any():
            at_risk += 1
            assert groups[training].sum() == min(size, 2)
        else:
            assert_split((training, held_out), drawn(60, 0.5, seed))
    assert at_risk


def test_a_large_group_at_risk_keeps_its_share() -> None:
    # The rows trained on are another group.
    groups = np.ones(100, dtype=np.int64)
    groups[drawn(100, 0.9, 0)[0]] = 0
    training, held_out = split_rows(100, 0.9, 0, [groups])
    assert groups[training].sum() == 9
    assert len(training) + len(held_out) == 100


def test_several_kinds_of_groups_at_once() -> None:
    random = np.random.default_rng(0)
    for seed in range(30):
        groups = [random.integers(0, number, 80) for number in (3, 20, 60)]
        training, held_out = split_rows(80, 0.4, seed, groups)
        for codes in groups:
            assert set(codes[training]) == set(codes)
        assert sorted([*training, *held_out]) == list(range(80))


def test_every_row_a_group_of_its_own_leaves_nothing_to_hold_out() -> None:
    training, held_out = split_rows(20, 0.5, 0, [np.arange(20)])
    np.testing.assert_array_equal(training, np.arange(20))
    assert len(held_out) == 0


@pytest.mark.parametrize("role", ["batch_key", "categorical_covariate_keys"])
def test_rare_categories_of_cells_are_trained_on(role: str) -> None:
    adata = simulate_cells(60, 10, seed=1)
    column = np.array(["big"] * 60, dtype=object)
    column[[3, 7]] = "rare"
    adata.obs["k"] = pd.Categorical(column)
    seeds = [seed for seed in range(99) if not {3, 7} & set(drawn(60, 0.5, seed)[0])][:2]
    for seed in seeds:
        model = _trained(adata, {role: "k" if role == "batch_key" else ["k"]}, seed)
        assert not {3, 7} & set(model.validation_indices)
        assert len(model.validation_indices) == 30


def _trained(adata: anndata.AnnData, setup: dict, seed: int) -> SingleCellVMM:
    SingleCellVMM.setup_anndata(adata, **setup)
    model = SingleCellVMM(adata, n_latent=2, num_components=3, n_hidden=8, random_state=seed)
    model.train(max_epochs=1, batch_size=20, train_size=0.5)
    return model
