"""The modalities of the package, and one of a user's own, keep the contract."""

import numpy as np
import pytest
from modalities.shares import Shares

from pyro_vmm import UserError
from pyro_vmm.data import CountSetup, read_counts
from pyro_vmm.modalities import register
from pyro_vmm.modalities.arrays import Arrays
from pyro_vmm.modalities.counts import Counts
from pyro_vmm.options import Entry
from pyro_vmm.single_cell.simulation import simulate_cells
from pyro_vmm.testing import ModalityContract

register(Shares)


class TestArrays(ModalityContract):
    modality = Arrays
    options = {"likelihood": "normal", "standardize": True, "hidden": (8,)}

    def make_data(self, number, seed):
        generator = np.random.default_rng(seed)
        return generator.normal(size=(number, 5)) + 6.0 * generator.integers(0, 2, (number, 1))

    def test_other_features_are_refused(self, fit, data):
        with pytest.raises(UserError, match="X has 3 features, but the fit has 5"):
            fit.predict(data[:, :3])


class TestCounts(ModalityContract):
    modality = Counts
    options = {"n_hidden": 8}

    def make_data(self, number, seed):
        adata = simulate_cells(number, 12, num_groups=2, num_batches=2, seed=seed)
        return read_counts(adata, CountSetup(batch_key="batch"))

    def test_a_generator_gives_the_seed(self, data):
        drawn, seeded = (self._fitted(data, random_state=state) for state in (np.random.default_rng(3), 1742692731))
        assert drawn.options["random_state"] == seeded.options["random_state"]
        np.testing.assert_array_equal(drawn.latents, seeded.latents)


class Noted(Shares):
    """Has an option that may differ, and one that another face has for something else."""

    name = "noted shares"
    input = None  # files of shares are read by the other
    own_options = (
        *Shares.own_options,
        Entry("note", "", "what the training is for", "training", may_differ=True),
        Entry("n_latent", 3, "dimensions of something else", "model"),
    )


register(Noted)


class TestShares(ModalityContract):
    modality = Shares

    def test_what_its_entries_say_may_differ_does(self, data, tmp_path):
        self.modality = Noted
        self._stop_training(data, tmp_path)
        assert self._fitted(data, resume=tmp_path, note="second try").finished
        with pytest.raises(UserError, match="n_latent=3, not n_latent=4"):
            self._fitted(data, resume=tmp_path, n_latent=4)

    def make_data(self, number, seed):
        generator = np.random.default_rng(seed)
        weights = np.array([[8.0, 1.0, 1.0], [1.0, 1.0, 8.0]])[generator.integers(0, 2, number)]
        return generator.gamma(weights)
