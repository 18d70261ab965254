"""Training loops around the inference: epochs, stopping, progress, checkpoints."""

from pyro_vmm.observations.one_hot_rows import OneHotRows
from pyro_vmm.observations.orders import minibatches, num_minibatches, split_rows
from pyro_vmm.observations.sparse_rows import SparseRows
from pyro_vmm.training.checkpoint import CheckpointWriter, read_checkpoint, resume_training, write_checkpoint
from pyro_vmm.training.early_stopping import EarlyStopping
from pyro_vmm.training.progress_bar import ProgressBar
from pyro_vmm.training.trainer import Trainer
from pyro_vmm.training.watchers import InterruptedWarning, Watcher

__all__ = [
    "CheckpointWriter",
    "EarlyStopping",
    "InterruptedWarning",
    "OneHotRows",
    "ProgressBar",
    "SparseRows",
    "Trainer",
    "Watcher",
    "minibatches",
    "num_minibatches",
    "read_checkpoint",
    "resume_training",
    "split_rows",
    "write_checkpoint",
]
