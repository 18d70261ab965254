"""THE RELEASED PROTOCOL, WHICH LOOKS AT LABELS: for a comparison with published figures, and for nothing else.

The paper's released code stops training where the NMI with the labels of the validation images was best (section 7 of the
method). Nothing in ``pyro_vmm`` can do so; this file stands outside the package for that reason.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.metrics import normalized_mutual_info_score

from benchmarks.fitted import Fitted
from benchmarks.methods.arrays import VALIDATION_FRACTION, numbers_of
from benchmarks.run import Run
from pyro_vmm import VMM
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.random_states import draw_seed
from pyro_vmm.training import Trainer, split_rows


class StopOnValidationNMI:
    """Keeps the state whose clusters agree best with the validation labels, and stops when ``patience`` epochs beat none."""

    def __init__(self, validation_labels: np.ndarray, patience: int) -> None:
        self.labels, self.patience = validation_labels, patience
        self.best_nmi, self.best_epoch, self.since_best = -1.0, 0, 0
        self.best_state: dict[str, torch.Tensor] = {}

    def step_ended(self, trainer: Trainer) -> None:
        """Nothing happens within an epoch."""

    def epoch_ended(self, trainer: Trainer) -> None:
        """Compare the clusters of the held-out images with their labels."""
        assert trainer.validation_x is not None
        evaluation = Evaluation(trainer.svi.model, trainer.svi.guide)
        clusters = evaluation.responsibilities(trainer.validation_x).argmax(1)
        nmi = float(normalized_mutual_info_score(self.labels, clusters))
        self.since_best += 1
        if nmi > self.best_nmi:
            self.best_nmi, self.best_epoch, self.since_best = nmi, len(trainer.history), 0
            self.best_state = {name: tensor.detach().clone() for name, tensor in trainer.tensors().items()}
        trainer.stop_requested = self.since_best >= self.patience


def fit_stopping_on_labels(x: np.ndarray, labels: np.ndarray, options: Mapping[str, Any], run: Run) -> Fitted:
    """Fit ``VMM`` to pixels scaled to [-1, 1] under a normal likelihood with one learned scale, stopping on labels.

    Parameters
    ----------
    x
        Pixels in [0, 1], ``[N, F]``.
    labels
        ``[N]``; those of the held-out images decide which epoch is kept.
    options
        ``model``: keywords of ``VMM``; ``patience`` in epochs.
    run
        Seed and device. It keeps what it has seen of labels to itself, so a stopped run begins anew.
    """
    estimator = VMM(
        **{"likelihood": "normal", "learning_rate": 1e-4, "prior_learning_rate": 1e-4, "merging": "none"}
        | dict(options["model"]),
        patience=None,
        validation_fraction=VALIDATION_FRACTION,
        random_state=run.seed,
        device=run.device,
    )
    _, held_out = split_rows(len(x), VALIDATION_FRACTION, draw_seed(estimator.random_state))
    watcher = StopOnValidationNMI(labels[held_out], options["patience"])
    scaled = (2.0 * x - 1.0).astype(np.float32)
    estimator.fit(scaled, watchers=[watcher])
    for prefix, module in (("model.", estimator.model_), ("guide.", estimator.guide_)):
        kept = {name.removeprefix(prefix): t for name, t in watcher.best_state.items() if name.startswith(prefix)}
        module.load_state_dict(kept)
    estimator.rejoin(scaled)
    numbers = numbers_of(estimator) | {
        "validation_elbo": float(estimator.history_["validation_elbo"].iloc[watcher.best_epoch - 1]),
        "best_epoch": float(watcher.best_epoch),
        "validation_nmi": watcher.best_nmi,
    }
    return Fitted(estimator.labels_, estimator.predict_proba(scaled).max(1), numbers)
