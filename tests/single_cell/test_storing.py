"""Models on disk by scvi-tools' arguments: with their cells, under a prefix, and loaded without data."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

from pyro_vmm import SingleCellVMM, UserError


def test_a_model_stored_with_its_cells_is_loaded_without(fitted: SingleCellVMM, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model", overwrite=True, save_anndata=True)
    loaded = SingleCellVMM.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(), fitted.predict())
    np.testing.assert_array_equal(loaded.validation_indices, fitted.validation_indices)
    assert list(loaded.adata.obs_names) == list(fitted.adata.obs_names)
    by_name = SingleCellVMM.load(dir_path=str(tmp_path / "model"), adata=None, prefix=None, accelerator="cpu")
    np.testing.assert_array_equal(by_name.get_latent_representation(), fitted.get_latent_representation())


def test_without_cells_their_lack_is_told(fitted: SingleCellVMM, tmp_path: Path, cells: anndata.AnnData) -> None:
    fitted.save(tmp_path)
    with pytest.raises(UserError, match=r"holds no cells \(adata.h5ad\): give them, load\(directory, adata\), or save"):
        SingleCellVMM.load(tmp_path)
    cells[:100].copy().write_h5ad(tmp_path / "adata.h5ad")
    with pytest.raises(UserError, match=r"adata.h5ad holds other cells than those fitted: give yours as adata"):
        SingleCellVMM.load(tmp_path)
    assert len(SingleCellVMM.load(tmp_path, cells).predict()) == 300


def test_a_prefix_keeps_models_apart(fitted: SingleCellVMM, cells: anndata.AnnData, tmp_path: Path) -> None:
    fitted.save(tmp_path, prefix="first_", save_anndata=True)
    fitted.save(tmp_path, prefix="second_")
    assert {path.name for path in tmp_path.iterdir()} == {
        "first_config.json",
        "first_model.safetensors",
        "first_adata.h5ad",
        "second_config.json",
        "second_model.safetensors",
    }
    assert SingleCellVMM.load(tmp_path, prefix="first_").n_clusters_ == fitted.n_clusters_
    assert SingleCellVMM.load(tmp_path, cells, prefix="second_").n_clusters_ == fitted.n_clusters_
    with pytest.raises(UserError, match=r"holds no model \(no config.json\)"):
        SingleCellVMM.load(tmp_path, cells)
    with pytest.raises(UserError, match=r"holds a model already \(first_config.json\)"):
        fitted.save(tmp_path, prefix="first_")
    fitted.save(tmp_path, prefix="first_", overwrite=True)
    for wrong in ("a/b", 3):
        with pytest.raises(UserError, match=r"^prefix is .*: give the beginning of a file's name, without a folder"):
            fitted.save(tmp_path, prefix=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"save_kwargs": {"pickle_protocol": 4}},
            r"^save_kwargs=.* is not offered: weights are written by safetensors",
        ),
        ({"dir_path": "elsewhere"}, r"^dir_path and directory are two names of one option: give one of them"),
        ({"no_such": 1}, r"^SingleCellVMM.save has no argument 'no_such': leave it out"),
    ],
)
def test_what_is_refused_writes_nothing(
    given: dict[str, Any], message: str, fitted: SingleCellVMM, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        fitted.save(tmp_path / "model", **given)
    assert not (tmp_path / "model").exists()
    with pytest.raises(UserError, match=r"^directory is None: give the path of a folder"):
        fitted.save()


def test_loading_refuses_what_is_not_offered(fitted: SingleCellVMM, cells: anndata.AnnData, tmp_path: Path) -> None:
    fitted.save(dir_path=tmp_path / "model")
    with pytest.raises(UserError, match=r"^backup_url='https://x' is not offered: download the folder yourself"):
        SingleCellVMM.load(tmp_path / "model", cells, backup_url="https://x")
    with pytest.raises(UserError, match=r"^SingleCellVMM has no option 'no_such': leave it out"):
        SingleCellVMM.load(tmp_path / "model", cells, no_such=1)
    with pytest.raises(UserError, match=r"device"):
        SingleCellVMM.load(tmp_path / "model", cells, device="no such")
