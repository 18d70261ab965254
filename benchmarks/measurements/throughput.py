"""How fast single-cell models train: ``SingleCellVMM`` and scvi-tools' ``SCVI``, cells per CPU-second.

All are of one architecture, 1 x 128 hidden units, ten latent dimensions, zero-inflated negative binomial, and take
minibatches of 256 out of 90 % of the cells.

After one epoch to warm up, ``train`` is called twice, for few and for many epochs. Cells a CPU-second are from the
difference of the two calls, which is what an epoch costs; those of the whole call are from the longer call with all that it does
before and after its epochs (``SingleCellVMM`` evaluates all cells and builds its merge tree there). Both of ours evaluate the
held-out cells and count the clusters in use after every epoch, which ``SCVI`` does not do without early stopping.
"""

import logging
import time
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from anndata import AnnData

from benchmarks.fitted import Absent, Fitted
from benchmarks.run import Run

BATCH_SIZE, TRAINED_SHARE = 256, 0.9
SCVI = "scvi"


def model_of(options: Mapping[str, Any], adata: AnnData) -> Any:
    """The model, not yet trained."""
    if options["package"] == SCVI:
        try:
            from scvi.model import SCVI as Model
        except ImportError:
            raise Absent("scvi-tools is not installed here") from None
        Model.setup_anndata(adata)
        return Model(adata, n_hidden=128, n_layers=1, n_latent=10, gene_likelihood="zinb")
    from pyro_vmm import SingleCellVMM

    SingleCellVMM.setup_anndata(adata)
    return SingleCellVMM(adata, **options["model"])


def measure_throughput(adata: AnnData, options: Mapping[str, Any], run: Run) -> Fitted:
    """Train ``options["model"]`` of ``options["package"]`` for 1 and then for both numbers of ``options["epochs"]``."""
    import torch

    logging.disable(logging.WARNING)
    torch.manual_seed(run.seed)
    seconds = []
    few, many = options["epochs"]
    keywords = {"batch_size": BATCH_SIZE, "train_size": TRAINED_SHARE, "early_stopping": False, "accelerator": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = model_of(options, adata)
        for number in (1, few, many):
            start = time.process_time()
            model.train(max_epochs=number, enable_progress_bar=False, **keywords)
            seconds.append(time.process_time() - start)
    logging.disable(logging.NOTSET)
    cells = TRAINED_SHARE * adata.n_obs
    numbers = {
        "cells_a_cpu_second": cells * (many - few) / (seconds[2] - seconds[1]),
        "cells_a_cpu_second_whole_call": cells * many / seconds[2],
    }
    package = "scvi-tools" if options["package"] == SCVI else "anndata"
    return Fitted(numbers=numbers, versions={package: version(package)})
