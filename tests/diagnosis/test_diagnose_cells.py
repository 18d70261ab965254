"""``SingleCellVMM.diagnose`` and ``stability`` on fits with and without the batch, trained and untrained."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.diagnosis import Diagnosis, simulation_based_calibration
from pyro_vmm.single_cell import simulate_cells

SMALL: dict[str, Any] = {"n_latent": 3, "num_components": 12, "n_hidden": 32}
TRAINING: dict[str, Any] = {"batch_size": 64, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def cells() -> anndata.AnnData:
    return simulate_cells(300, 40, num_groups=3, num_batches=2, batch_effect=1.0, seed=1)


@pytest.fixture(scope="module")
def fit(cells: anndata.AnnData) -> Callable[..., SingleCellVMM]:
    def make(batch_key: str | None = "batch", *, max_epochs: int = 2, **options: Any) -> SingleCellVMM:
        SingleCellVMM.setup_anndata(cells, batch_key=batch_key)
        model = SingleCellVMM(cells, **SMALL | options)
        model.train(max_epochs=max_epochs, **TRAINING)
        return model

    return make


@pytest.fixture(scope="module")
def fitted(fit: Callable[..., SingleCellVMM]) -> SingleCellVMM:
    return fit(max_epochs=150)


@pytest.fixture(scope="module")
def found(fitted: SingleCellVMM, cells: anndata.AnnData) -> Diagnosis:
    return fitted.diagnose(cells, labels_key="group")


def test_a_fit_that_went_well_has_no_warning_and_its_batches_mixed(found: Diagnosis) -> None:
    assert found.healthy, str(found)
    assert found["batch effect"].value < 0.3
    assert found["labels in the embedding"].severity == "fine"
    assert found["over-fitting"].severity == "fine"
    assert found["posterior collapse"].severity == "fine"
    assert found["reconstruction"].severity == "fine"


def test_batches_are_apart_where_the_model_was_not_told_of_them(
    fit: Callable[..., SingleCellVMM], cells: anndata.AnnData, found: Diagnosis
) -> None:
    unaware = fit(None, max_epochs=8)
    with pytest.raises(KeyError):
        unaware.diagnose()["batch effect"]
    told = unaware.diagnose(cells, batch_key="batch")["batch effect"]
    assert told.severity == "warning"
    assert told.value > found["batch effect"].value + 0.2
    assert "batch_key" in told.advice


@pytest.mark.parametrize("observed", [True, False])
def test_simulated_cells_are_those_of_the_fit(
    fit: Callable[..., SingleCellVMM], cells: anndata.AnnData, observed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fit(max_epochs=20, use_observed_lib_size=observed)
    totals: list[NDArray[Any]] = []
    posterior = model.guide.posterior
    monkeypatch.setattr(model.guide, "posterior", lambda x, **given: totals.append(x.sum(1)) or posterior(x, **given))
    found = model.simulation_based_calibration(num_simulations=160)
    library = np.asarray(cells.X.sum(1))
    # Of the same depth, give or take what dropout costs; without a library size it would be a count or two.
    assert np.median(np.concatenate(totals)) == pytest.approx(np.median(library), rel=0.5)
    assert found.names == ("z[0]", "z[1]", "z[2]", *(() if observed else ("library_size",)), "log p(x | z)")
    assert found.ranks.shape == (160, len(found.names))
    with pytest.raises(UserError, match=re.escape("covariate 'library_size'" if observed else "covariate 'batch'")):
        simulation_based_calibration(model.module, model.guide, num_simulations=80)


def test_a_library_size_of_the_wrong_width_or_level_is_found(fit: Callable[..., SingleCellVMM]) -> None:
    model = fit(max_epochs=40, use_observed_lib_size=False)
    sound = model.simulation_based_calibration().to_frame().loc["library_size"]
    last = list(model.guide.library_encoder.modules())[-1]
    with torch.no_grad():
        last.weight[1].zero_()
        last.bias[1] = 3.0
    wide = model.simulation_based_calibration().to_frame().loc["library_size"]
    assert wide["p_value"] < 1e-6
    assert wide["outer"] < 0.2 < sound["outer"]
    with torch.no_grad():
        last.bias[1] = -2.0
        last.bias[0] += 1.0
    high = model.simulation_based_calibration().to_frame().loc["library_size"]
    assert high["mean_rank"] < 0.1


def test_an_untrained_embedding_has_lost_what_labels_tell(
    fit: Callable[..., SingleCellVMM], cells: anndata.AnnData
) -> None:
    shuffled = cells.copy()
    shuffled.obs["shuffled"] = np.random.default_rng(0).permutation(cells.obs["group"].to_numpy())
    model = fit(max_epochs=2)
    assert model.diagnose(shuffled, labels_key="shuffled")["labels in the embedding"].severity == "warning"
    assert model.diagnose()["convergence"].severity == "warning"


def test_labels_enter_their_own_finding_and_no_other(
    fitted: SingleCellVMM, found: Diagnosis, cells: anndata.AnnData
) -> None:
    without = {finding.name: finding for finding in fitted.diagnose().findings}
    with_labels = {finding.name: finding for finding in found.findings}
    assert set(with_labels) - set(without) == {"labels in the embedding"}
    for name, finding in without.items():
        assert str(finding) == str(with_labels[name])


def test_a_model_from_disk_has_the_same_findings(
    fitted: SingleCellVMM, cells: anndata.AnnData, found: Diagnosis, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    SingleCellVMM.setup_anndata(cells, batch_key="batch")
    loaded = SingleCellVMM.load(tmp_path, cells).diagnose(cells, labels_key="group")
    assert [finding.sentence for finding in loaded.findings] == [finding.sentence for finding in found.findings]


def test_the_library_size_is_not_exchanged_with_the_latent(fit: Callable[..., SingleCellVMM]) -> None:
    found = fit(max_epochs=4, use_observed_lib_size=False).diagnose()
    assert found["reconstruction"].severity == "fine"
    assert found["guide quality"].value >= 0


def test_stability_trains_others_the_same_way(fit: Callable[..., SingleCellVMM]) -> None:
    model = fit()
    found = model.stability(num_seeds=2, max_epochs=2, **TRAINING)
    assert found.seeds == (0, 1)
    assert found.clusters_per_run[0] == model.n_clusters_
    other = fit(random_state=1)
    assert found.clusters_per_run[1] == other.n_clusters_
    assert len(found.consensus) == 300
    assert "2 runs found" in model.diagnose()["stability between seeds"].sentence
    model.train(max_epochs=1, **TRAINING)
    assert model.stability_ is None


def test_stability_takes_what_train_takes(fit: Callable[..., SingleCellVMM], monkeypatch: pytest.MonkeyPatch) -> None:
    model, steps = fit(), []

    class Count:
        def step_ended(self, trainer: Any) -> None:
            steps.append(trainer.seed)

        def epoch_ended(self, trainer: Any) -> None: ...

    model.stability(2, max_epochs=1, watchers=[Count()])
    assert set(steps) == {1}
    for option in ("colour", "n_latent", "random_state"):
        with pytest.raises(UserError, match=f"SingleCellVMM.train has no option '{option}'"):
            model.stability(2, **{option: 1})
    with pytest.raises(UserError, match=r"^accelerator='tpu' is not known"):
        model.stability(2, accelerator="tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"^accelerator='cuda', but torch finds no CUDA device"):
        model.stability(2, accelerator="gpu")


def test_mistakes(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    with pytest.raises(UserError, match="not trained"):
        SingleCellVMM(cells, **SMALL).diagnose()
    with pytest.raises(UserError, match="not trained"):
        SingleCellVMM(cells, **SMALL).stability()
    with pytest.raises(UserError, match="give the cells, too"):
        fitted.diagnose(labels_key="group")
    with pytest.raises(UserError, match="no column 'grupp'"):
        fitted.diagnose(cells, labels_key="grupp")
    with pytest.raises(UserError, match="no column 'donor'"):
        fitted.diagnose(cells, batch_key="donor")
    with pytest.raises(UserError, match="4 cells"):
        fitted.diagnose(cells[:4])


def test_clusters_of_other_cells_are_counted_in_those_cells(fitted: SingleCellVMM, cells: anndata.AnnData) -> None:
    some = cells[:30].copy()
    of_all, of_some = (fitted.diagnose(given)["small clusters"].sentence for given in (None, some))
    assert of_all != of_some
    assert fitted.diagnose(cells)["small clusters"].sentence == of_all
