"""Scripts in the style of scvi-tools' tutorials run with another class name, and with their own where scvi-tools is installed."""

import os
import re
from contextlib import chdir
from importlib.util import find_spec
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from pyro_vmm.single_cell.simulation import simulate_cells

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
DATA = Path(os.environ.get("PYRO_VMM_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = [
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("scanpy", "leidenalg", "igraph")),
        reason="the scripts use scanpy and leidenalg: pip install pyro-vmm[benchmark]",
    ),
    pytest.mark.filterwarnings("ignore"),  # what other packages say of each other
]


def simulated() -> anndata.AnnData:
    """400 cells of 600 genes, with covariates."""
    adata = simulate_cells(400, 600, num_groups=4, num_batches=2, library_size=2000.0)
    bare = anndata.AnnData(adata.X, obs=adata.obs[["batch"]].copy(), var=pd.DataFrame(index=adata.var_names))
    bare.obs["cell_type"] = adata.obs["group"]
    return bare


def real(name: str) -> anndata.AnnData:
    """600 cells of a file."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not there: set PYRO_VMM_DATA to the folder that holds it")
    adata = anndata.read_h5ad(path)
    rows = np.sort(np.random.default_rng(0).choice(adata.n_obs, 600, replace=False))
    return adata[rows].copy()


def cells(source: str) -> anndata.AnnData:
    adata = simulated() if source == "simulated" else real(source)
    adata.X = csr_matrix(adata.X)
    generator = np.random.default_rng(0)
    adata.obs["lane"] = pd.Categorical([f"lane {number}" for number in generator.integers(3, size=adata.n_obs)])
    adata.obs["percent_mito"] = generator.random(adata.n_obs)
    return adata


def run(script: Path, renamed: dict[str, str], source: str, folder: Path) -> None:
    text = script.read_text()
    for old, new in renamed.items():
        text, number = re.subn(rf"\b{re.escape(old)}\b", new, text)
        assert number, f"{script.name} does not name {old}"
    cells(source).write_h5ad(folder / "cells.h5ad")
    with chdir(folder):
        exec(compile(text, str(script), "exec"), {})


@pytest.mark.parametrize("source", ["simulated", "real"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_class_name_is_all_that_changes(script: Path, source: str, tmp_path: Path) -> None:
    if source == "real":
        source = "cao_worm_neuron.h5ad" if script.stem == "worm" else "kang_ifnb_pbmc.h5ad"
    run(script, {"scvi.model.SCVI": "pyro_vmm.SingleCellVMM", "import scvi": "import pyro_vmm"}, source, tmp_path)


@pytest.mark.skipif(find_spec("scvi") is None, reason="scvi-tools is not installed: pip install pyro-vmm[benchmark]")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_scripts_are_scvi_tools_own(script: Path, tmp_path: Path) -> None:
    run(script, {}, "simulated", tmp_path)
