"""``SingleCellVMM`` with any prior, its own clusters or Leiden's in its embedding."""

from collections.abc import Mapping
from typing import Any

from anndata import AnnData

from benchmarks.count_files import batch_key
from benchmarks.fitted import Fitted
from benchmarks.methods.arrays import cluster_embedding, epochs_for
from benchmarks.methods.joint import JointSingleCellVMM
from benchmarks.run import Run
from pyro_vmm import SingleCellVMM


def fit_single_cell_vmm(adata: AnnData, options: Mapping[str, Any], run: Run) -> Fitted:
    """Fit ``SingleCellVMM``.

    Parameters
    ----------
    adata
        Counts ``[cells, genes]``; ``obs["batch"]`` where there are batches.
    options
        ``model`` and ``train``: keywords of ``SingleCellVMM`` and of its ``train``; ``steps``, ``joint`` and ``afterwards`` as in
        :func:`benchmarks.methods.arrays.fit_vmm`; ``embedding``: hand it on to be scored as well.
    run
        Seed, device and checkpoint.
    """
    train = dict(options.get("train", {}))
    if "steps" in options:
        train |= epochs_for(options["steps"], adata.n_obs, train.get("batch_size", 256))
    facade = JointSingleCellVMM if options.get("joint") else SingleCellVMM
    facade.setup_anndata(adata, batch_key=batch_key(adata))
    model = facade(adata, random_state=run.seed, **options.get("model", {}))
    model.train(accelerator=run.device, watchers=run.watchers, resume=run.resume, **train)
    history = model.history
    numbers = {
        "validation_elbo": -float(history["elbo_validation"].min().iloc[0]),
        "best_epoch": float(history["elbo_validation"]["elbo_validation"].idxmin()),
        "epochs": float(len(history["elbo_train"])),
        "steps": float(history["step"].iloc[-1, 0]),
        "components_in_use": float(history["components_in_use"].iloc[-1, 0]),
    }
    embedding = model.get_latent_representation() if {"afterwards", "embedding"} & options.keys() else None
    if "afterwards" in options:
        clusters, probability = cluster_embedding(embedding, options["afterwards"], run.seed)
    else:
        responsibilities = model.predict_proba()
        clusters, probability = responsibilities.argmax(1), responsibilities.max(1)
    return Fitted(clusters, probability, numbers, embedding if options.get("embedding") else None)
