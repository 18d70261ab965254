"""Queries with other cells: what does not fit is refused with advice that works for a model already fitted."""

from collections.abc import Callable
from typing import Any

import anndata
import numpy as np
import pytest

from pyro_vmm import SingleCellVMM, UserError
from pyro_vmm.command_line.flags import in_the_commands_words
from pyro_vmm.command_line.main import parser
from pyro_vmm.single_cell import simulate_cells


def cells() -> anndata.AnnData:
    adata = simulate_cells(60, 10, num_groups=2, num_batches=2, seed=1)
    adata.layers["counts"] = adata.X.copy()
    adata.obs["age"] = np.arange(60.0)
    return adata


def fitted(layer: str | None, **setup: Any) -> SingleCellVMM:
    adata = cells()
    adata.raw = adata.copy()
    SingleCellVMM.setup_anndata(adata, layer=layer, batch_key="batch", **setup)
    model = SingleCellVMM(adata, n_latent=2, num_components=4, n_hidden=8)
    model.train(max_epochs=1, batch_size=20)
    return model


@pytest.fixture(scope="module")
def of_x() -> SingleCellVMM:
    return fitted(None)


@pytest.fixture(scope="module")
def of_layer() -> SingleCellVMM:
    return fitted("counts")


def told(call: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def follow(advice: str, adata: anndata.AnnData) -> None:
    exec(advice, {"adata": adata})


def test_a_missing_layer_is_to_be_made_as_queries_cannot_name_another(of_layer: SingleCellVMM) -> None:
    other = cells()
    del other.layers["counts"]
    sentence = told(lambda: of_layer.predict(other))
    advice = "adata.layers['counts'] = adata.X"
    assert sentence == (
        "adata has no layer 'counts', and the model was fitted to the counts there: put raw counts there, as with "
        f"{advice}."
    )
    follow(advice, other)
    np.testing.assert_array_equal(of_layer.predict(other), of_layer.predict())


def test_no_place_that_holds_no_counts_is_recommended(of_layer: SingleCellVMM) -> None:
    other = cells()
    del other.layers["counts"]
    other.X = other.X * 0.5
    assert told(lambda: of_layer.predict(other)).endswith(
        "and the model was fitted to the counts there: put raw counts there."
    )
    other.raw = cells()
    assert told(lambda: of_layer.predict(other)).endswith(
        "put raw counts there, as with adata.layers['counts'] = adata.raw.X."
    )
    follow("adata.layers['counts'] = adata.raw.X", other)
    of_layer.predict(other)


def test_an_empty_x_and_values_that_are_no_counts(of_x: SingleCellVMM) -> None:
    advice = "adata.X = adata.layers['counts']"
    empty = cells()
    del empty.X
    scaled = cells()
    scaled.X = scaled.X * 0.5
    assert told(lambda: of_x.predict(empty)) == (
        f"adata.X is empty (None), and the model was fitted to the counts there: put raw counts there, as with {advice}."
    )
    assert told(lambda: of_x.predict(scaled)).endswith(
        f": give raw counts, as with {advice}, as the model was fitted to."
    )
    for other in (empty, scaled):
        follow(advice, other)
        np.testing.assert_array_equal(of_x.predict(other), of_x.predict())


def test_missing_raw_counts() -> None:
    model = fitted("raw")
    assert told(lambda: model.predict(cells())) == (
        "adata has no raw counts (adata.raw is None), and the model was fitted to the counts there: set adata.raw to an "
        "AnnData with raw counts in its X."
    )


def test_a_missing_column_is_to_be_added(of_x: SingleCellVMM) -> None:
    other = cells()
    other.obs = other.obs.rename(columns={"batch": "Batch"})
    advice = "adata.obs['batch'] = adata.obs['Batch']"
    assert told(lambda: of_x.get_latent_representation(other)) == (
        f"adata.obs has no column 'batch', which the model was fitted with (batch_key): add it, as with {advice}; "
        "predict(adata, batch_free=True) of a loaded model does not read the batch."
    )
    follow(advice, other)
    of_x.get_latent_representation(other)
    model = fitted(None, continuous_covariate_keys=["age"])
    other = cells()
    del other.obs["age"]
    assert told(lambda: model.predict(other)) == (
        "adata.obs has no column 'age', which the model was fitted with (continuous_covariate_keys): add it."
    )
    other.obs["age"] = "old"
    assert told(lambda: model.predict(other)).endswith("convert it, as with adata.obs['age'].astype(float).")


def test_the_command_does_not_speak_of_predict(of_x: SingleCellVMM) -> None:
    other = cells()
    del other.obs["batch"]
    with pytest.raises(UserError) as caught:
        of_x.get_latent_representation(other)
    words = in_the_commands_words(caught.value, parser().parse_args(["report", "DIR"]))
    assert words == "adata.obs has no column 'batch', which the model was fitted with (--batch-key): add it."


@pytest.mark.parametrize("change", ["unseen", "missing column", "missing values"])
def test_without_their_batch_cells_of_any_batch_are_assigned(of_x: SingleCellVMM, change: str) -> None:
    other = cells()
    if change == "unseen":
        other.obs["batch"] = "of another laboratory"
    elif change == "missing column":
        del other.obs["batch"]
    else:
        other.obs["batch"] = np.nan
    assert "batch_free=True" in told(lambda: of_x.predict(other)) or change == "missing values"
    np.testing.assert_array_equal(of_x.predict_proba(other, batch_free=True), of_x.predict_proba(batch_free=True))
    np.testing.assert_array_equal(
        of_x.predict(other, [3, 1], batch_free=True), of_x.predict(None, [3, 1], batch_free=True)
    )


def test_the_diagnosis_asks_for_a_batch_key_only_where_none_was_given(of_x: SingleCellVMM) -> None:
    adata = cells()
    latent = of_x.get_latent_representation()[:, 0]
    adata.obs["apart"] = np.where(latent > np.median(latent), "left", "right")
    finding = of_x.diagnose(adata, batch_key="apart")["batch effect"]
    assert finding.severity != "fine"
    assert "fit with batch_key='apart', train longer" in finding.advice
    adata.obs["batch"] = adata.obs["apart"].map({"left": "batch 0", "right": "batch 1"})
    for key in ("batch", None):
        finding = of_x.diagnose(adata, batch_key=key)["batch effect"]
        assert finding.severity != "fine"
        assert "batch_key" not in finding.advice
