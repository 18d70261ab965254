"""A training that has come to its end is never lost, whatever fails after it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.command_line.main import FAILED, main
from pyro_vmm.command_line.output_folder import OutputFolder
from pyro_vmm.fit import ObservedFit
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.modalities import cell_input
from pyro_vmm.single_cell import annotation, simulate_cells

SMALL = ["--num-components", "4", "--latent-dim", "2", "--max-epochs", "1", "--device", "cpu", "--quiet"]
ERRORS = {
    "full disk": OSError(28, "No space left on device"),
    "value": ValueError("Found repeated column names: ['x']. Column names must be unique."),
    "letter": UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"),
    "package": ImportError("No module named 'PyQt6'"),
    "memory": MemoryError(),
}


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    return fail


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(40, 4)))
    simulate_cells(60, 10, num_batches=2).write_h5ad(folder / "cells.h5ad")
    return folder


def command(inputs: Path, name: str, output: Path) -> list[str]:
    return ["fit", str(inputs / name), "--output", str(output), *SMALL]


def trained_only(inputs: Path, name: str, output: Path) -> Path:
    """Where a training ended, and the disk was full when its model was to be stored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyro_vmm.fit.weights.write_together", raising(ERRORS["full disk"]))
        assert main(command(inputs, name, output)) == FAILED
    assert not (output / "model.safetensors").exists()
    return output


@pytest.fixture(scope="module")
def trained(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("trained")
    return {name: trained_only(inputs, name, folder / name) for name in ("x.npy", "cells.h5ad")}


ARRAYS: list[tuple[Any, str]] = [(ObservedFit, "probability_blocks"), (OutputFolder, "write_tables")]
CELLS: list[tuple[Any, str]] = [*ARRAYS, (annotation, "write_annotation"), (cell_input, "write_cells")]
STAGES = [("x.npy", *stage) for stage in ARRAYS] + [("cells.h5ad", *stage) for stage in CELLS]


def loaded(name: str, inputs: Path, folder: Path) -> VMM | SingleCellVMM:
    return VMM.load(folder) if name == "x.npy" else SingleCellVMM.load(folder, anndata.read_h5ad(inputs / name))


def finish_without_training(arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmpiricalBayesSVI, "step", raising(AssertionError("it trains again")))
    assert main([*arguments, "--resume"]) == 0
    expected = {"config.json", "model.safetensors", "history.csv", "clusters.csv", "latent.npy"}
    assert expected | ({"adata.h5ad"} if "cells.h5ad" in arguments[1] else set()) <= set(os.listdir(folder))


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(("name", "owner", "stage"), STAGES, ids=[f"{stage[0]} {stage[2]}" for stage in STAGES])
def test_a_stage_that_fails_leaves_the_model_and_resumes(
    name: str,
    owner: Any,
    stage: str,
    kind: str,
    inputs: Path,
    trained: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(trained[name], tmp_path / "run"))
    arguments = command(inputs, name, folder)
    monkeypatch.setattr("pyro_vmm.plotting.save_figures", lambda *_, **__: [])
    capsys.readouterr()
    with monkeypatch.context() as patch:
        fail = raising(ERRORS[kind])
        patch.setattr(owner, stage, property(fail) if stage == "probabilities" else fail)
        assert main([*arguments, "--resume"]) == FAILED
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    assert message.startswith(f"pyro-vmm: The model is stored in {folder}, but ")
    assert "the same command with --resume writes what is missing without training again." in message
    assert loaded(name, inputs, folder)
    finish_without_training(arguments, folder, monkeypatch)


@pytest.mark.parametrize("name", ["x.npy", "cells.h5ad"])
@pytest.mark.parametrize("kind", ERRORS)
def test_figures_that_cannot_be_drawn_are_a_warning(
    name: str,
    kind: str,
    inputs: Path,
    trained: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(shutil.copytree(trained[name], tmp_path / "run"))
    monkeypatch.setattr("pyro_vmm.plotting.save_figures", raising(ERRORS[kind]))
    capsys.readouterr()
    finish_without_training(command(inputs, name, folder), folder, monkeypatch)
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    assert message.startswith("pyro-vmm: warning: The figures could not be drawn (")
    assert "--resume" in message


@pytest.mark.parametrize("name", ["x.npy", "cells.h5ad"])
def test_a_model_that_could_not_be_stored_is_after_resuming(
    name: str, inputs: Path, trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(trained[name], tmp_path / "run"))
    finish_without_training(command(inputs, name, folder), folder, monkeypatch)
    assert loaded(name, inputs, folder)


def test_a_model_stored_on_a_full_disk_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of one fit and the configuration of another would be neither."""
    x = np.random.default_rng(0).normal(size=(40, 4))
    options: dict[str, Any] = {"likelihood": "normal", "num_components": 4, "hidden": (8,), "max_epochs": 1}
    model = VMM(**options, random_state=0).fit(x)
    model.save(tmp_path)
    fsync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:  # config.json, after the weights
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    other = VMM(**options, random_state=1).fit(x)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ValueError, match="No space left"):
            other.save(tmp_path, **({"overwrite": True} if "overwrite" in VMM.save.__annotations__ else {}))
    np.testing.assert_array_equal(VMM.load(tmp_path).transform(x), model.transform(x))
    assert not list(tmp_path.glob(".*.partial"))


# ---- what AnnData does not write -------------------------------------------------------------------------------------


def with_seurats_index(adata: AnnData) -> None:
    adata.raw = adata
    adata.raw.var["_index"] = adata.raw.var_names.to_numpy()


def with_a_column_twice(adata: AnnData) -> None:
    adata.obs = pd.concat([adata.obs, adata.obs[["group"]]], axis=1)


def with_mixed_values(adata: AnnData) -> None:
    adata.obs["notes"] = pd.Series([1, "a"] * (adata.n_obs // 2), index=adata.obs_names, dtype=object)


def with_an_index_named_as_a_column(adata: AnnData) -> None:
    adata.obs.index.name = "group"


def with_an_object(adata: AnnData) -> None:
    adata.uns["tool"] = {"parameters": {"made by": object(), "rate": 3.0}}


def with_a_number_for_a_name(adata: AnnData) -> None:
    adata.uns[7] = "seven"


def with_a_table_of_seurats(adata: AnnData) -> None:
    adata.obsm["scores"] = pd.DataFrame({"_index": 1.0, "other": 2.0}, index=adata.obs_names)


def with_a_dot(adata: AnnData) -> None:
    """Which AnnData writes into the group around it, and cannot read."""
    adata.uns["."] = 1.0


UNWRITABLE: dict[Callable[[AnnData], None], str] = {
    with_seurats_index: "The column '_index' of raw.var",
    with_a_column_twice: "The column 'group' of obs",
    with_mixed_values: "The column 'notes' of obs",
    with_an_index_named_as_a_column: "The name 'group' of the index of obs",
    with_an_object: "uns['tool']['parameters']['made by']",
    with_a_number_for_a_name: "uns[7]",
    with_a_table_of_seurats: "obsm['scores']",
    with_a_dot: "uns['.']",
}


@pytest.mark.parametrize("spoil", UNWRITABLE, ids=lambda spoil: spoil.__name__)
def test_what_anndata_does_not_write_is_left_out_with_a_warning(
    spoil: Callable[[AnnData], None],
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def read(path: Path) -> AnnData:
        adata = anndata.read_h5ad(path)
        spoil(adata)
        return adata

    monkeypatch.setattr(cell_input, "read_cells", read)
    monkeypatch.setattr("pyro_vmm.plotting.save_figures", lambda *_, **__: [])
    capsys.readouterr()
    assert main(command(inputs, "cells.h5ad", tmp_path / "run")) == 0
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    assert message.startswith(f"pyro-vmm: warning: {UNWRITABLE[spoil]} cannot be written by AnnData (")
    assert "is left out of adata.h5ad" in message
    written = anndata.read_h5ad(tmp_path / "run" / "adata.h5ad")
    assert "X_vmm" in written.obsm
    assert {"group", "batch", "vmm_cluster"} <= set(written.obs)
    assert (written.raw is not None) == (spoil is with_seurats_index)
    if spoil is with_an_object:
        assert written.uns["tool"] == {"parameters": {"rate": 3.0}}


def test_an_ordinary_file_loses_nothing(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adata = anndata.read_h5ad(inputs / "cells.h5ad")
    adata.obs["text"] = pd.array(["a", None] * (adata.n_obs // 2), dtype="string")
    adata.obs["cell type"] = pd.Categorical(["a", "b"] * (adata.n_obs // 2))
    adata.obs["count"] = pd.array([1, None] * (adata.n_obs // 2), dtype="Int64")
    adata.uns["nested"] = {"array": np.arange(3), "none": None, "text": ["a", "b"]}
    adata.raw = adata
    from pyro_vmm.data.writable_cells import leave_out_unwritable

    before = adata.copy()
    assert leave_out_unwritable(adata) == []
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.raw.var, before.raw.var)
    assert adata.uns.keys() == before.uns.keys()
