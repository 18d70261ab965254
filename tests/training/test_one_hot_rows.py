"""Categories are kept as codes and give the numbers of one-hot rows, bit for bit."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch.nn.functional import one_hot

from pyro_vmm import SingleCellVMM
from pyro_vmm.evaluation import ROWS_AT_ONCE as ROWS_AT_ONCE_IN_EVALUATION
from pyro_vmm.modalities.count_covariates import CovariateEncoding
from pyro_vmm.observations.fingerprint import ROWS_AT_ONCE, fingerprint
from pyro_vmm.observations.sparse_rows import dense_rows
from pyro_vmm.ppc import check
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.training import OneHotRows, SparseRows

CPU = torch.device("cpu")
CODES = torch.tensor([2, 0, 1, 2, 2])
ROWS = one_hot(CODES, 4).float()


def test_rows_are_those_of_one_hot() -> None:
    rows = OneHotRows(CODES, 4)
    assert (len(rows), rows.shape, rows.ndim, rows.device) == (5, (5, 4), 2, CPU)
    taken = torch.tensor([4, 0, 0])
    for made, expected in (
        (rows.to(torch.float32), ROWS),
        (rows.to(torch.float64), ROWS.double()),
        (dense_rows(rows, taken, CPU), ROWS[taken]),
        (rows[taken].to(CPU), ROWS[taken]),
        (rows[np.array([1, 2])].to(CPU), ROWS[1:3]),
        (rows[:2].to(CPU), ROWS[:2]),
    ):
        assert made.dtype == expected.dtype
        assert torch.equal(made, expected)


@pytest.mark.parametrize("number", [3, 2 * ROWS_AT_ONCE + 7])
def test_the_fingerprint_is_that_of_version_0_1(number: int) -> None:
    codes = torch.arange(number) % 5
    x = csr_array(np.ones((number, 2), dtype=np.float32))
    covariates = {"batch": one_hot(codes, 6).float(), "library_size": torch.arange(float(number))}
    digest = hashlib.sha256()
    for array in (
        x.indptr.astype(np.int64),
        x.indices.astype(np.int64),
        x.data,
        *(each.numpy() for each in covariates.values()),
    ):
        digest.update(f"{array.shape} {array.dtype};".encode())
        digest.update(np.ascontiguousarray(array).data)
    assert fingerprint(SparseRows(x), covariates) == digest.hexdigest()
    assert fingerprint(SparseRows(x), covariates | {"batch": OneHotRows(codes, 6)}) == digest.hexdigest()
    assert fingerprint(SparseRows(x), covariates | {"batch": OneHotRows(codes, 7)}) != digest.hexdigest()


class _Expanded(CovariateEncoding):
    """As version 0.1 encoded cells: one-hot rows of all at once."""

    def tensors(self, cells: Any) -> Any:
        given = super().tensors(cells)
        return {name: each.to(CPU) if isinstance(each, OneHotRows) else each for name, each in given.items()}


def _fitted(expanded: bool) -> SingleCellVMM:
    adata = simulate_cells(90, 12, num_groups=2, num_batches=3, seed=1)
    adata.obs["site"] = ["a", "b"] * 45
    SingleCellVMM.setup_anndata(adata, batch_key="batch", categorical_covariate_keys=["site"])
    model = SingleCellVMM(
        adata, n_latent=2, num_components=4, n_hidden=8, dispersion="gene-batch", use_observed_lib_size=False
    )
    if expanded:
        model.modality = replace(model.modality, encoding=_Expanded(**model.encoding.to_dict()))
    model.train(max_epochs=2, batch_size=30)
    return model


def test_codes_and_one_hot_rows_give_the_same_fit_and_answers() -> None:
    codes, rows = _fitted(False), _fitted(True)
    assert isinstance(codes._cells(None, None).covariates["batch"], OneHotRows)
    assert isinstance(rows._cells(None, None).covariates["batch"], torch.Tensor)
    for mine, theirs in zip(codes.module.state_dict().values(), rows.module.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    for answer in (
        lambda model: model.predict_proba(),
        lambda model: model.predict_proba(batch_free=True),
        lambda model: model.get_normalized_expression(transform_batch=["batch 0", "batch 2"], library_size="latent"),
        lambda model: model.get_elbo(),
        lambda model: model.simulation_based_calibration(num_simulations=80).ranks,
        lambda model: [finding.sentence for finding in model.diagnose().findings],
        lambda model: check(model, num_replicates=2).to_frame(),
    ):
        np.testing.assert_array_equal(np.asarray(answer(codes)), np.asarray(answer(rows)))


def test_guide_and_model_take_the_covariates_as_they_are() -> None:
    model = _fitted(False)
    cells = model._cells(None, None)
    x, covariates = cells.x, cells.covariates
    model.guide.eval()
    with torch.no_grad():
        mean = model.guide.posterior(dense_rows(x, torch.arange(len(x)), CPU), **covariates).mean
    np.testing.assert_allclose(mean, model.get_latent_representation(), atol=1e-5)


def test_the_rows_of_all_cells_are_never_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    to = OneHotRows.to

    def watched(self: OneHotRows, *args: Any, **kwargs: Any) -> torch.Tensor:
        made.append(len(self))
        return to(self, *args, **kwargs)

    monkeypatch.setattr(OneHotRows, "to", watched)
    monkeypatch.setattr("pyro_vmm.observations.fingerprint.ROWS_AT_ONCE", 1000)
    number = 1300
    adata = simulate_cells(number, 5, num_groups=2, num_batches=3, seed=1)
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    model = SingleCellVMM(adata, n_latent=2, num_components=3, n_hidden=8)
    model.train(max_epochs=1, batch_size=200)
    model.predict(adata, batch_free=True)
    model.get_normalized_expression(transform_batch="batch 1")
    model.get_elbo()
    cells = model._cells(adata, None)
    cells.fingerprint()
    assert max(made) <= ROWS_AT_ONCE_IN_EVALUATION < number
    assert cells.covariates["batch"].codes.untyped_storage().nbytes() == 8 * number
