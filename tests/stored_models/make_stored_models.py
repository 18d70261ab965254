"""Write ``tests/stored_models/<release>``: tiny fits of this release, for later ones to load. Run it once a release.

python tests/stored_models/make_stored_models.py
"""

import json
import shutil
from contextlib import chdir
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from anndata import AnnData
from sklearn.datasets import load_digits

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.command_line import fit as fit_command
from pyro_vmm.command_line import main as command
from pyro_vmm.command_line.interruption import StopOnSignal
from pyro_vmm.modalities.array_input import DEFAULTS
from pyro_vmm.single_cell import simulate_cells
from pyro_vmm.training import CheckpointWriter, Trainer

HERE = Path(__file__).parent
CENTRE_UNCERTAINTY = "expected"  # the default when 0.1.0's were stored
EPOCHS = 6  # too few to leave a standard normal prior: none is begun under


def digits() -> np.ndarray:
    """Eighty digits, ``[80, 64]``."""
    return load_digits().data[:80].astype(np.float32) / 16


def cells(folder: Path) -> AnnData:
    """Sixty cells of 12 genes in two batches, as stored in the folder; set up."""
    stored = np.load(folder / "cells.npz")
    adata = AnnData(stored["counts"].astype(np.float32))
    adata.obs["batch"] = np.array(["a", "b"])[stored["batch"]]
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    return adata


def tiny_vmm(**options: Any) -> VMM:
    """The fit of the digits."""
    small: dict[str, Any] = {"latent_dim": 2, "num_components": 4, "hidden": (8,), "batch_size": 20, "device": "cpu"}
    small |= {"likelihood_options": {"pixels_per_feature": 16}, "max_epochs": EPOCHS, "learning_rate": 5e-3}
    small["centre_uncertainty"] = CENTRE_UNCERTAINTY
    return VMM(**small | {"random_state": 0} | options)


def tiny_cells(adata: Any) -> SingleCellVMM:
    """The fit of the cells, not trained yet."""
    small: dict[str, Any] = {"n_latent": 2, "num_components": 4, "n_hidden": 8}
    return SingleCellVMM(adata, **small, centre_uncertainty=CENTRE_UNCERTAINTY, random_state=0)


def command_of(kind: str, output: str) -> list[str]:
    """``pyro-vmm fit`` of the same data in the present folder, as :func:`write_inputs` has left them."""
    inputs = {"arrays": ["rows.npz", "--label-column", "kind"], "cells": ["cells.h5ad", "--batch-key", "batch"]}
    small = "--num-components 4 --latent-dim 2 --batch-size 20 --device cpu --quiet --threads 1 --seed 3 --max-epochs 6"
    return ["fit", *inputs[kind], *small.split(), "--output", output]


def write_inputs(release: Path, folder: Path) -> None:
    """What :func:`command_of` reads."""
    np.savez(folder / "rows.npz", X=digits(), kind=np.arange(80) % 2)
    adata = cells(release)
    adata.uns.clear()
    adata.write_h5ad(folder / "cells.h5ad")


class StopAfter(StopOnSignal):
    """Stops after five steps, in the second epoch."""

    def step_ended(self, trainer: Trainer) -> None:
        self.asked = trainer.svi.steps_taken == 5
        super().step_ended(trainer)


def write_fit_folders(release: Path) -> None:
    """What the command leaves, finished and stopped, without pictures and without copies of the input."""
    with TemporaryDirectory() as name, chdir(name), patch.dict(DEFAULTS, {"rows.npz": {"hidden": (8,)}}):
        write_inputs(release, Path(name))
        for kind in ("arrays", "cells"):
            command.main(command_of(kind, kind))
            with patch.object(fit_command, "StopOnSignal", StopAfter):
                command.main(command_of(kind, f"{kind}-stopped"))
            shutil.rmtree(f"{kind}/checkpoint")
        command.main(["score", "arrays", "--labels", "kind"])
        left_out = shutil.ignore_patterns("figures", ".lock", "*.npz", "*.h5ad")
        shutil.copytree(name, release / "command_line", ignore=left_out)


def main() -> None:
    torch.set_num_threads(1)
    folder = HERE / version("pyro-vmm")
    folder.mkdir(exist_ok=True)
    simulated = simulate_cells(60, 12, num_groups=2, num_batches=2, seed=0)
    counts = np.asarray(simulated.X.todense(), dtype=np.int32)
    np.savez_compressed(folder / "cells.npz", counts=counts, batch=simulated.obs["batch"].cat.codes)
    x, adata = digits(), cells(folder)
    vmm = tiny_vmm().fit(x, watchers=[CheckpointWriter(folder / "checkpoint", every_seconds=1e9, every_steps=10)])
    for path in (folder / "checkpoint").glob("*24.*"):
        path.unlink()  # the end; what is to be resumed is step 20
    vmm.save(folder / "arrays")
    model = tiny_cells(adata)
    model.train(max_epochs=EPOCHS, batch_size=20, accelerator="cpu", standard_normal_steps=0)
    model.save(folder / "cells")
    expected = {
        "arrays": {
            "predict_proba": vmm.predict_proba(x[:10]).tolist(),
            "transform": vmm.transform(x[:10]).tolist(),
            "elbo": vmm.history_["elbo"].tolist(),
            "validation_elbo": vmm.history_["validation_elbo"].tolist(),
        },
        "cells": {
            "predict_proba": model.predict_proba()[:10].tolist(),
            "latent": model.get_latent_representation()[:10].tolist(),
            "elbo_train": model.history["elbo_train"]["elbo_train"].tolist(),
            "elbo_validation": model.history["elbo_validation"]["elbo_validation"].tolist(),
        },
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    write_fit_folders(folder)


if __name__ == "__main__":
    main()
