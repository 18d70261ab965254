"""``pyro-vmm fit --from-disk`` finds what a fit from memory finds, and copies no counts."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from pyro_vmm.command_line.main import main
from pyro_vmm.data import free_memory
from pyro_vmm.single_cell import simulate_cells

SMALL = [
    "--num-components",
    "8",
    "--latent-dim",
    "3",
    "--max-epochs",
    "3",
    "--batch-key",
    "batch",
    "--device",
    "cpu",
    "--quiet",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two fits of the same file."""
    folder = tmp_path_factory.mktemp("from-disk")
    adata = simulate_cells(300, 40, num_groups=3, num_batches=2, seed=1)
    adata.X = sparse.csr_matrix(adata.X)
    adata.write_h5ad(folder / "cells.h5ad")
    for name, flags in (("memory", []), ("disk", ["--from-disk"])):
        assert main(["fit", str(folder / "cells.h5ad"), "--output", str(folder / name), *SMALL, *flags]) == 0
    return folder


def test_tables_and_embedding_are_the_same(folder):
    assert (folder / "disk/clusters.csv").read_bytes() == (folder / "memory/clusters.csv").read_bytes()
    np.testing.assert_array_equal(np.load(folder / "disk/latent.npy"), np.load(folder / "memory/latent.npy"))
    weights = [(folder / name / "model.safetensors").read_bytes() for name in ("disk", "memory")]
    assert weights[0] == weights[1]
    assert len(list((folder / "disk/figures").iterdir())) == len(list((folder / "memory/figures").iterdir()))


def test_results_without_counts_are_written(folder):
    assert not (folder / "disk/adata.h5ad").exists()
    whole, small = (anndata.read_h5ad(folder / name) for name in ("memory/adata.h5ad", "disk/annotation.h5ad"))
    assert small.X is None
    pd.testing.assert_frame_equal(small.obs, whole.obs)
    for name in ("X_vmm", "vmm_responsibilities"):
        np.testing.assert_array_equal(small.obsm[name], whole.obsm[name])


def test_the_fit_is_scored_and_reported_from_disk(folder, capsys):
    assert main(["score", str(folder / "disk"), "--labels", "group"]) == 0
    assert main(["report", str(folder / "disk")]) == 0
    assert "is missing" not in capsys.readouterr().err
    assert json.loads((folder / "disk/config.json").read_text())["fit"]["arguments"]["from_disk"] is True


def test_the_fit_goes_on(folder):
    command = ["fit", str(folder / "cells.h5ad"), "--output", str(folder / "disk"), *SMALL, "--from-disk", "--resume"]
    assert main(command) == 0


ARRAYS = [
    "--num-components",
    "6",
    "--latent-dim",
    "2",
    "--max-epochs",
    "2",
    "--device",
    "cpu",
    "--quiet",
    "--seed",
    "0",
]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".zarr"])
def test_arrays_stay_on_disk(tmp_path, capsys, suffix):
    x = np.float32(np.random.default_rng(0).normal(size=(200, 4)) + 4 * np.arange(200)[:, None] % 8)
    path, labels = tmp_path / f"x{suffix}", np.arange(200) % 2
    if suffix == ".npy":
        np.save(path, x)
    elif suffix == ".npz":
        np.savez(path, X=x, labels=labels)
    else:
        zarr = pytest.importorskip("zarr")
        zarr.open_array(str(path), mode="w", shape=x.shape, chunks=(50, 4), dtype=x.dtype)[:] = x
    np.savez(tmp_path / "memory.npz", X=x, labels=labels)
    flags = [] if suffix == ".zarr" else ["--from-disk"]  # of a Zarr array no other way is known
    assert main(["fit", str(path), "--output", str(tmp_path / "disk"), *ARRAYS, *flags]) == 0
    assert ("is a Zarr array: the data stay on disk" in capsys.readouterr().err) == (suffix == ".zarr")
    assert main(["fit", str(tmp_path / "memory.npz"), "--output", str(tmp_path / "memory"), *ARRAYS]) == 0
    assert (tmp_path / "disk/clusters.csv").read_bytes() == (tmp_path / "memory/clusters.csv").read_bytes()
    assert main(["fit", str(path), "--output", str(tmp_path / "disk"), *ARRAYS, *flags, "--resume"]) == 0
    assert main(["report", str(tmp_path / "disk")]) == 0
    if suffix == ".npz":
        assert main(["score", str(tmp_path / "disk"), "--labels", "labels"]) == 0


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("digits", "is read into memory, whatever it is"),
        ("x.csv", "is read into memory, whatever it is"),
        ("small.npz", "is compressed: write it with numpy.savez"),
        ("absent.npy", "There is no file"),
        ("list.npy", "[observations, features] are needed"),
    ],
)
def test_what_cannot_stay_on_disk_is_refused_in_one_line(tmp_path, capsys, monkeypatch, name, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n")
    np.savez_compressed("small.npz", X=np.ones((30, 3)))
    np.save("list.npy", np.ones(30))
    assert main(["fit", name, "--output", "no", "--from-disk"]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1


def test_a_file_larger_than_half_of_the_free_memory_stays_on_disk(folder, tmp_path, monkeypatch, capsys):
    size = (folder / "cells.h5ad").stat().st_size
    command = ["fit", str(folder / "cells.h5ad"), "--output", str(tmp_path / "fit"), *SMALL]
    monkeypatch.setattr(free_memory, "free_memory", lambda: 2 * size - 1)
    assert main(command) == 0
    assert "is larger than half of the free memory: the data stay on disk" in capsys.readouterr().err
    assert (tmp_path / "fit/annotation.h5ad").exists()
    # Whatever is free later, the fit goes on, and is scored, as it was begun.
    monkeypatch.setattr(free_memory, "free_memory", lambda: 2 * size)
    assert main([*command, "--resume"]) == 0
    assert main(["score", str(tmp_path / "fit"), "--labels", "group"]) == 0
    assert "half of the free memory" not in capsys.readouterr().err


def test_a_large_file_that_cannot_be_read_by_rows_is_read_into_memory(folder, tmp_path, monkeypatch, capsys):
    adata = anndata.read_h5ad(folder / "cells.h5ad")
    adata.X = adata.X.toarray()
    adata.write_h5ad(tmp_path / "dense.h5ad")
    monkeypatch.setattr(free_memory, "free_memory", lambda: 0)
    assert main(["fit", str(tmp_path / "dense.h5ad"), "--output", str(tmp_path / "fit"), *SMALL]) == 0
    assert "half of the free memory" not in capsys.readouterr().err
    assert (tmp_path / "fit/adata.h5ad").exists()


def test_free_memory_is_that_of_the_container(tmp_path, monkeypatch):
    monkeypatch.setattr(free_memory, "_GROUP", tmp_path)
    assert free_memory.free_memory() > 10_000
    (tmp_path / "memory.max").write_text("10000\n")
    (tmp_path / "memory.current").write_text("4000\n")
    assert free_memory.free_memory() == 6000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory.free_memory() > 10_000
