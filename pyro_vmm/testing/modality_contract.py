"""What every modality must do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_vmm import ppc
from pyro_vmm.errors import UserError
from pyro_vmm.fit import Fit
from pyro_vmm.modalities import Modality, known, named
from pyro_vmm.plotting import save_figures
from pyro_vmm.training import CheckpointWriter

ROWS = 60


class ModalityContract:
    """Tests that any :class:`~pyro_vmm.modalities.Modality` passes: inherit them in a class named ``Test...``."""

    modality: type[Modality]
    """The class."""

    options: dict[str, Any] = {}
    """Options that the fits of these tests are to have, such as small networks."""

    def make_data(self, number: int, seed: int) -> Any:
        """Data of so many observations, as the modality reads them."""
        raise NotImplementedError

    @pytest.fixture
    def data(self) -> Any:
        """Data to fit."""
        return self.make_data(ROWS, 0)

    @pytest.fixture
    def fit(self, data: Any) -> Fit:
        """A small fit of them."""
        return self._fitted(data)

    def _fitted(self, data: Any, **more: Any) -> Fit:
        small = {"latent_dim": 2, "num_components": 4, "batch_size": 20, "max_epochs": 3, "random_state": 0}
        return Fit.of(self.modality, data, **{**small, **self.options, **more})

    def test_it_is_known_by_its_name(self) -> None:
        assert named(self.modality.name) is self.modality
        assert list(known()).count(self.modality.name) == 1

    def test_every_option_is_an_entry_with_a_default(self) -> None:
        options = self.modality.with_defaults({})
        assert set(options) == {entry.name for entry in self.modality.entries()}
        json.dumps(options)

    def test_an_unknown_option_is_refused(self, data: Any) -> None:
        with pytest.raises(UserError, match="has no option 'colour'"):
            self._fitted(data, colour="red")

    def test_it_trains(self, fit: Fit) -> None:
        assert fit.finished
        assert np.isfinite(fit.history["elbo"]).all()
        assert fit.labels is not None
        assert len(fit.labels) == ROWS
        assert fit.held_out is not None
        assert 0 < len(fit.held_out) < ROWS

    def test_the_same_seed_gives_the_same_numbers(self, fit: Fit, data: Any) -> None:
        again = self._fitted(data)
        for mine, theirs in zip(fit.guide.state_dict().values(), again.guide.state_dict().values(), strict=True):
            assert torch.equal(mine, theirs)

    def test_it_resumes(self, fit: Fit, data: Any, tmp_path: Path) -> None:
        self._stop_training(data, tmp_path)
        resumed = self._fitted(data, resume=tmp_path)
        for mine, theirs in zip(fit.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
            assert torch.equal(mine, theirs)

    def test_it_does_not_resume_with_another_option(self, data: Any, tmp_path: Path) -> None:
        self._stop_training(data, tmp_path)
        with pytest.raises(UserError, match="prior_weight"):
            self._fitted(data, resume=tmp_path, prior_weight=99.0)

    def _stop_training(self, data: Any, folder: Path) -> None:
        self._fitted(data, watchers=[_StopAfter(4), CheckpointWriter(folder, every_seconds=1e9)])

    def test_it_answers_about_other_observations(self, fit: Fit) -> None:
        others = self.make_data(15, 1)
        assert fit.transform(others).shape == (15, 2)
        probabilities = fit.predict_proba(others)
        assert probabilities.shape == (15, 4)
        np.testing.assert_allclose(probabilities.sum(1), 1.0)
        assert np.isfinite(fit.score(others))

    def test_it_is_stored_and_loaded(self, fit: Fit, data: Any, tmp_path: Path) -> None:
        fit.save(tmp_path)
        loaded = Fit.load(tmp_path)
        np.testing.assert_array_equal(loaded.predict_proba(data), fit.predict_proba(data))
        assert loaded.held_out is not None
        np.testing.assert_array_equal(loaded.held_out, fit.held_out)
        assert loaded.options == dict(fit.options)
        np.testing.assert_allclose(loaded.history, fit.history, rtol=1e-9)

    def test_it_is_diagnosed(self, fit: Fit, data: Any) -> None:
        names = {finding.name for finding in fit.diagnose(data).findings}
        assert {"convergence", "reconstruction"} <= names

    def test_predictive_checks(self, fit: Fit, data: Any) -> None:
        checked = ppc.check(fit, data, num_replicates=3)
        assert np.isfinite(checked.to_frame()["observed"]).all()
        (replicate,) = ppc.replicate(fit, data)
        assert replicate.shape == (ROWS, fit.modality.read(data).num_features)

    def test_its_observations_in_the_datas_units(self, fit: Fit, data: Any) -> None:
        observed = fit.observe(data)
        x = observed.observations.minibatch(torch.arange(ROWS), torch.device("cpu")).x
        values = np.concatenate(list(observed.in_data_units()))
        np.testing.assert_allclose(values, fit.modality.in_data_units(x), rtol=1e-4, atol=1e-4)

    def test_pictures(self, fit: Fit, data: Any, tmp_path: Path) -> None:
        assert "latent.png" in {path.name for path in save_figures(tmp_path, fit, data)}


class _StopAfter:
    """A watcher that asks a training to stop."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def step_ended(self, trainer: Any) -> None:
        """Ask for it."""
        if trainer.svi.steps_taken == self.steps:
            trainer.stop_requested = True

    def epoch_ended(self, trainer: Any) -> None:
        """Nothing."""
