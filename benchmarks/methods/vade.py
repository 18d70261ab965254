"""VaDE: pre-training as an autoencoder, a Gaussian mixture of the latents as start, then its own ELBO."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.fitted import Fitted
from benchmarks.methods.arrays import VALIDATION_FRACTION, epochs_for
from benchmarks.run import Run
from pyro_vmm.devices import choose_device, resident
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.modalities.arrays import Arrays
from pyro_vmm.models import VaDE, VaDEObjective
from pyro_vmm.training import EarlyStopping, Trainer, resume_training, split_rows


def fit_vade(x: np.ndarray, options: Mapping[str, Any], run: Run) -> Fitted:
    """Fit VaDE with the networks of ``VMM`` and diagonal posteriors, as published.

    Parameters
    ----------
    x
        ``[N, F]``.
    options
        ``model``: those keywords of ``VMM`` that say what the networks and the likelihood are, ``num_components`` (the number
        of classes) and how it is trained; ``pretraining_epochs``; ``steps`` as in :func:`benchmarks.methods.arrays.fit_vmm`.
    run
        Seed, device and checkpoint.
    """
    keywords = {"batch_size": 256, "learning_rate": 5e-4, "max_epochs": 100, "patience": 30} | dict(options["model"])
    if "steps" in options:
        keywords |= epochs_for(options["steps"], len(x), keywords["batch_size"])
    training = {name: keywords.pop(name) for name in ("batch_size", "learning_rate", "max_epochs", "patience")}
    on = choose_device(run.device)
    rows, held_out = split_rows(len(x), VALIDATION_FRACTION, run.seed)
    values = torch.from_numpy(np.asarray(x, dtype=np.float32))
    torch.manual_seed(run.seed)
    given = Arrays.with_defaults(keywords | {"prior": "gaussian-mixture", "covariance": "diagonal"})
    pieces, guide = Arrays(given, np.zeros(x.shape[1]), np.ones(x.shape[1])).build(None, given["num_components"])
    model = VaDE(given["latent_dim"], given["num_components"], pieces.decoder, pieces.likelihood).to(on)
    guide.to(on)
    seen, unseen = resident(values[rows], on), resident(values[held_out], on)
    if run.resume is None:
        model.pretrain(guide, seen, epochs=options["pretraining_epochs"], batch_size=training["batch_size"])
        model.start_mixture(guide, seen, seed=run.seed)
    objective = VaDEObjective(model, guide)
    trainer = Trainer(
        EmpiricalBayesSVI(model, guide, optim=training["learning_rate"], loss=objective),
        seen,
        unseen,
        batch_size=training["batch_size"],
        max_epochs=training["max_epochs"],
        early_stopping=EarlyStopping(training["patience"]),
        seed=run.seed,
        watchers=run.watchers,
    )
    if run.resume is not None:
        resume_training(trainer, run.resume)
    history = trainer.run()
    if trainer.interrupted:
        raise KeyboardInterrupt
    responsibilities = Evaluation(model, guide).responsibilities(values)
    numbers = {
        "validation_elbo": max(row["validation_elbo"] for row in history),
        "best_epoch": float(trainer.progress.best_epoch + 1),
        "epochs": float(len(history)),
        "steps": float(history[-1]["step"]),
        "components_in_use": float(len(np.unique(responsibilities.argmax(1)))),
    }
    return Fitted(responsibilities.argmax(1), responsibilities.max(1), numbers)
