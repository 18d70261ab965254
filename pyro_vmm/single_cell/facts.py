"""What a model of single cells is, before and after its training, by scvi-tools' names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_vmm.devices import choose_device
from pyro_vmm.errors import UserError
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.single_cell.answers import AnswersOfCells
from pyro_vmm.single_cell.face_options import OF_MODEL

if TYPE_CHECKING:
    from anndata import AnnData


class Facts(AnswersOfCells):
    """Cells, device, held-out rows and options of a model; the facade inherits them."""

    _adata: AnnData | None

    @property
    def adata(self) -> AnnData:
        """The AnnData that the model was made of, or loaded with; never changed.

        Raises
        ------
        UserError
            For a model that was made of cells read otherwise.
        """
        if self._adata is None:
            raise UserError("The model was made without an AnnData: give one to the methods that ask for cells.")
        return self._adata

    @property
    def is_trained(self) -> bool:
        """Whether :meth:`train` has been called."""
        return self.is_trained_

    @property
    def train_indices(self) -> NDArray[np.int64] | None:
        """Rows trained on, ``[T]`` in increasing order; None where :attr:`validation_indices` is."""
        held_out = self.validation_indices
        return None if held_out is None else np.setdiff1d(np.arange(len(self.cells.cell_names)), held_out)

    @property
    def test_indices(self) -> NDArray[np.int64] | None:
        """Rows neither trained on nor held out: none, ``[0]``; None before training."""
        return None if self.validation_indices is None else np.array([], dtype=np.int64)

    @property
    def minified_data_type(self) -> None:
        """None: cells are kept whole."""
        return None

    @property
    def device(self) -> torch.device:
        """Where the parameters are; the CPU before training."""
        return torch.device("cpu") if self.fit_ is None else self._evaluation.device

    def to_device(self, device: str | int | torch.device) -> None:
        """Move the trained model; questions are then answered there.

        Parameters
        ----------
        device
            ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or the number of a CUDA device.

        Raises
        ------
        UserError
            Before :meth:`train`, which itself takes ``accelerator``, and for a device that is not there.
        """
        is_number = isinstance(device, int) and not isinstance(device, bool)
        chosen = choose_device(f"cuda:{device}" if is_number else device)  # type: ignore[arg-type]
        with PROCESS_LOCK:
            fit = self._fit
            fit.model.to(chosen)
            fit.guide.to(chosen)

    @property
    def summary_string(self) -> str:
        """Options and the state of training, in a few lines."""
        options = ", ".join(f"{name}: {value}" for name, value in self.options.items())
        trained = "Trained" if self.is_trained_ else "Not Trained"
        return f"SingleCellVMM with the following options:\n{options}.\nTraining status: {trained}"

    def view_anndata_setup(self, adata: AnnData | None = None, hide_state_registries: bool = False) -> None:
        """Print where counts and covariates are, and which batches and categories there are.

        Parameters
        ----------
        adata
            Cells to be checked against the model before; None for those that the model has.
        hide_state_registries
            Leave the categories out.

        Raises
        ------
        UserError
            For cells that the model cannot read.
        """
        cells = self.cells if adata is None else self.modality.read_cells(adata)
        print(f"Cells: {len(cells.cell_names):,}\nGenes: {len(self.gene_names):,}\nCounts: {self.setup.source}")
        for name, value in self.setup.to_dict().items():
            if name != "layer" and value:
                print(f"{name}: {value}")
        if not hide_state_registries:
            for column, names in self.categories.items():
                print(f"Categories of {column!r}: {', '.join(names)}")


class _OptionOfModel:
    """An option as an attribute of the model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.__doc__ = f"The option ``{name}``."

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else model.options[self.name]

    def __set__(self, model: Any, value: Any) -> NoReturn:
        made_with = model.options[self.name]
        raise UserError(
            f"{self.name} is an option of the model, made with {made_with!r}: make another model for {value!r}."
        )


for _name in OF_MODEL:
    # random_state, which may be a generator when it is given, has a property already.
    if not hasattr(Facts, _name):
        setattr(Facts, _name, _OptionOfModel(_name))
