"""How a model of single cells is judged, and written into an AnnData."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyro_vmm.data.cell_covariates import read_categories
from pyro_vmm.data.cells_on_disk import columns_of
from pyro_vmm.diagnosis import Diagnosis, SimulationBasedCalibration, Stability, simulation_based_calibration
from pyro_vmm.diagnosis.fits import diagnose
from pyro_vmm.diagnosis.refits import refit
from pyro_vmm.errors import UserError, options_called
from pyro_vmm.observations import Groups
from pyro_vmm.process_settings import undisturbed, usual_settings
from pyro_vmm.single_cell import annotation
from pyro_vmm.single_cell.face_options import IN_ITS_WORDS, defaults_of_training, options_of_training
from pyro_vmm.single_cell.genes import AnswersOfGenes
from pyro_vmm.training import Watcher

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.data.cells_on_disk import Paths


class Reviewed(AnswersOfGenes):
    """Diagnosis, calibration, stability and annotation; the facade inherits them."""

    # ---- back in scanpy ----------------------------------------------------------------------------------------------

    @undisturbed()
    def annotate(self, adata: AnnData, key_added: str = "vmm") -> None:
        """Write embedding and clusters into ``adata``; see :func:`pyro_vmm.single_cell.annotation.annotate`."""
        annotation.annotate(self, adata, key_added)

    # ---- whether it went well ----------------------------------------------------------------------------------------

    @undisturbed()
    def diagnose(
        self, adata: AnnData | Paths | None = None, labels_key: str | None = None, *, batch_key: str | None = None
    ) -> Diagnosis:
        """Say in words whether the fit went well, in some seconds; ``print`` it.

        Clusters are those of all cells fitted, or of at most 20,000 of ``adata``; neighbours and posteriors are of at most 3,000
        cells. All are drawn at random. Agreement between seeds is reported after :meth:`stability`.

        Parameters
        ----------
        adata
            As for :meth:`get_latent_representation`.
        labels_key
            Column of ``adata.obs`` with known labels. They are read for one finding, whether neighbours carry the same, and
            for nothing else.
        batch_key
            Column of ``adata.obs`` to look for a batch effect by; None for the batches that the model was fitted with.

        Raises
        ------
        UserError
            Before :meth:`train`, for cells that the model cannot read or fewer than ten, and for an unknown column.
        """
        for name, key in (("labels_key", labels_key), ("batch_key", batch_key)):
            if key is not None and adata is None:
                raise UserError(
                    f"The model keeps no column {key!r}: give the cells, too, diagnose(adata, {name}={key!r})."
                )
        observed, labels, batches = self.observe(adata), None, None
        if batch_key is not None and adata is not None:
            batches = Groups(*read_categories(columns_of(adata), batch_key, role="batch_key"))
        if labels_key is not None and adata is not None:
            columns = columns_of(adata)
            if labels_key not in columns.columns:
                raise UserError(f"adata.obs has no column {labels_key!r}: give the name of one as labels_key.")
            labels = columns[labels_key].to_numpy()
        known = (self.setup.batch_key, *self.setup.categorical_keys)
        left_out = None if batch_key in known else batch_key
        return diagnose(
            observed.fit, observed, labels=labels, batches=batches, batch_key=left_out, count_given=adata is not None
        )

    @usual_settings()
    def simulation_based_calibration(self, *, num_simulations: int = 1000, seed: int = 0) -> SimulationBasedCalibration:
        """Whether the guide is the posterior of the model, asked of cells that the model itself has made.

        Each is given the batch, the other covariates and the library size of one of the cells fitted, drawn at random; a
        library size that is inferred is drawn and ranked like the latents. See
        :func:`pyro_vmm.diagnosis.simulation_based_calibration`.

        Parameters
        ----------
        num_simulations
            Cells to simulate, at least 80.
        seed
            Of all draws.

        Raises
        ------
        UserError
            Before :meth:`train`, and for too few simulations.
        """
        fit = self._fit
        return simulation_based_calibration(
            fit.model,
            fit.guide,
            self.encoding.tensors(self.cells),
            num_simulations=num_simulations,
            seed=seed,
        )

    @usual_settings()
    def stability(self, num_seeds: int = 5, *, watchers: Sequence[Watcher] = (), **train_options: Any) -> Stability:
        """Fit again with other seeds and compare the clusters; takes as long as ``num_seeds - 1`` fits.

        Parameters
        ----------
        num_seeds
            Runs in all, this fit the first of them.
        watchers
            Objects that are called after every step and epoch of the other fits.
        **train_options
            Of :meth:`train`, but for ``resume``: give those that this fit was trained with.

        Raises
        ------
        UserError
            Before :meth:`train`, if ``num_seeds`` is below 2, and as :meth:`train`.
        """
        observed, given = self.observe(), options_of_training(train_options)
        modality = replace(self.modality, options={**self.modality.options, **defaults_of_training(), **given})
        with options_called(IN_ITS_WORDS):
            found = refit(observed.assignment, modality, observed.observations, num_seeds, watchers)
        observed.fit.stability = found
        return found
