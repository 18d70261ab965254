"""``SingleCellVMM``: from an AnnData of counts to clusters and an integrated embedding."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pyro.infer import TraceMeanField_ELBO

from pyro_vmm import persistence
from pyro_vmm.assembly import NUM_COMPONENTS, enough_components
from pyro_vmm.clustering import Clusters, Merging, check_merging
from pyro_vmm.data import CellCounts, CountSetup, DataWarning, read_counts
from pyro_vmm.devices import choose_device
from pyro_vmm.diagnosis import Diagnosis, SimulationBasedCalibration, Stability, simulation_based_calibration
from pyro_vmm.diagnosis.cells import diagnose_cells
from pyro_vmm.diagnosis.refits import refit_cells
from pyro_vmm.errors import InPython, Option, UserError
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.history_frames import as_elbos, as_losses
from pyro_vmm.infer import EmpiricalBayesSVI, LinearWarmup, named_schedule
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks.low_precision import warn_where_it_is_slow
from pyro_vmm.option_checks import (
    LARGEST_LATENT_DIM,
    as_folder,
    check_boolean,
    check_names,
    check_positive,
    check_seed,
    check_whole_number,
    is_number,
    plain_options,
)
from pyro_vmm.plain_values import plain
from pyro_vmm.priors import PRIOR_WEIGHT, Prior
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.process_settings import single_precision, undisturbed, usual_settings
from pyro_vmm.random_numbers import OwnRandomNumbers
from pyro_vmm.random_states import draw_seed, is_generator
from pyro_vmm.single_cell import annotation, storage
from pyro_vmm.single_cell.answers import AnswersOfCells
from pyro_vmm.single_cell.assembly import CountAssembly
from pyro_vmm.single_cell.covariates import CovariateEncoding
from pyro_vmm.single_cell.pseudo_cells import pseudo_cells
from pyro_vmm.single_cell.setup import note_setup, noted_setup
from pyro_vmm.single_cell.starting_values import StartingValues
from pyro_vmm.training import (
    EarlyStopping,
    InterruptedWarning,
    ProgressBar,
    Trainer,
    Watcher,
    num_minibatches,
    resume_training,
    split_rows,
)
from pyro_vmm.training.history import COLUMNS
from pyro_vmm.training.length import default_epochs
from pyro_vmm.training.standard_normal_start import make_ready_for_standard_normal
from pyro_vmm.training.watchers import checked_watchers

if TYPE_CHECKING:
    from anndata import AnnData

LEAST_EPOCHS, MOST_EPOCHS = 50, 1000
"""Bounds of the default number of epochs."""
STANDARD_NORMAL_STEPS = 500
"""By default, where there are batches or other covariates, so many steps (at most half of all) are under ``Normal(0, I)``."""


class SingleCellVMM(AnswersOfCells):
    """VampPrior mixture model of single-cell counts: clusters, an integrated embedding and a generative model in one fit.

    The names are those of scvi-tools: :meth:`setup_anndata`, :meth:`train`, ``get_*``.

    Parameters
    ----------
    adata
        Cells, after :meth:`setup_anndata`. It is read, never changed.
    n_latent
        Dimensions ``D`` of the embedding.
    num_components
        Truncation ``K`` of the mixture: an upper bound on the number of clusters. The default is lowered, with a warning,
        to the number of cells trained on where there are fewer.
    gene_likelihood
        ``"zinb"``, ``"nb"``, ``"poisson"`` or a :class:`~pyro_vmm.likelihoods.Likelihood` of counts.
    prior, prior_inference, weights, prior_weight, responsibility_gradient, centre_uncertainty
        As for :class:`pyro_vmm.VMM`.
    dispersion
        ``"gene"``: one inverse dispersion a gene; ``"gene-batch"``: one for each gene in each batch.
    n_hidden, n_layers
        Width and number of the hidden layers of encoder and decoder.
    dropout_rate
        In the encoder, during training.
    normalization
        Of hidden layers: ``"batch"``, ``"layer"`` or ``"none"``.
    covariance
        Posterior covariance, ``"diagonal"`` or ``"full"``.
    use_observed_lib_size
        Take each cell's total count (or its size factor) as its library size; otherwise it is inferred, with a LogNormal
        prior per batch. The totals are over the genes given: choose highly variable genes before.
    low_precision
        Multiply in bfloat16 in the wide layers of encoder and decoder: faster on GPUs and on processors that can, several times as
        slow on others, of which a warning tells.
    merging
        ``"valleys"``: components whose cells are better described as one Gaussian of the latent space than as two are one
        cluster, unless the density falls and rises again between them. The pair that gains most marginal likelihood
        (Gaussians integrated out; see :func:`pyro_vmm.clustering.merge_tree`) is joined, again and again, while there is a
        gain. ``"evidence"`` does not look for valleys. ``"none"`` keeps every component in use a cluster of its own.
        ``"misclassification"`` first joins those of which the mixture takes more than one in twenty cells for another's, which
        types that shade into one another do not survive. ``predict(num_clusters=...)`` goes further down the same tree,
        or up.
    evidence_weight
        Upper limit on the effective sample size in the merge test; larger gives more clusters. None for no limit with
        ``merging="misclassification"``, otherwise for 200 per latent dimension, at least 2,000.
    random_state
        One seed for everything, or a generator of NumPy's to draw it from. The same seed, data, versions and thread count
        give the same numbers on a CPU.

    Attributes
    ----------
    history
        After training, ``pandas.DataFrame`` by name as in scvi-tools, a row an epoch: ``elbo_train`` and
        ``elbo_validation`` (as there, losses: the *negative* ELBO in nats a cell) and the terms that each is the sum of,
        ``reconstruction_loss_train`` and ``kl_local_train``, ``reconstruction_loss_validation`` and
        ``kl_local_validation``; ``empirical_bayes_loss``; ``components_in_use``, counted on the same 1,000 training cells
        every epoch; ``clusters_in_use``, what they make on those cells when they are joined, counted after epochs that
        are 1,000 or more steps apart, and at the end; NaN otherwise. On all cells there may be a few more.
    validation_indices
        Rows of the cells held out by every call of :meth:`train`, ``[V]`` in increasing order; None before, and after
        :meth:`load` of a model of version 0.1 or with other cells than those fitted. They chose the state that was kept, so
        of truly new cells expect a little worse.
    module, guide
        The fitted :class:`~pyro_vmm.models.LatentMixtureModel` and :class:`~pyro_vmm.guides.AmortizedNormal`.
    interrupted_
        Whether Ctrl-C ended the last training; what was learned until then is kept. Absent before, and after :meth:`load`.
    n_clusters_, component_order_, weights_, merge_tree_, gene_names
        See there.

    Raises
    ------
    UserError
        If ``adata`` was not set up, or for data or options that cannot be used.

    References
    ----------
    A. Stirn and D. Knowles, "The VampPrior Mixture Model", arXiv 2402.04412; R. Lopez et al., "Deep generative modeling
    for single-cell transcriptomics", 2018.

    Examples
    --------
    >>> SingleCellVMM.setup_anndata(adata, layer="counts", batch_key="donor")       # doctest: +SKIP
    >>> model = SingleCellVMM(adata)                                                 # doctest: +SKIP
    >>> model.train()                                                                # doctest: +SKIP
    >>> adata.obsm["X_vmm"] = model.get_latent_representation()                      # doctest: +SKIP
    >>> adata.obs["cluster"] = model.predict().astype(str)                           # doctest: +SKIP
    """

    @usual_settings()
    def __init__(
        self,
        adata: AnnData,
        n_latent: int = 10,
        num_components: int = NUM_COMPONENTS,
        gene_likelihood: Any = "zinb",
        prior: Any = "vamp-mixture",
        *,
        prior_inference: str = "map-dp",
        weights: str = "stick-breaking",
        prior_weight: float = PRIOR_WEIGHT,
        responsibility_gradient: str = "stopped",
        centre_uncertainty: str = "none",
        dispersion: str = "gene",
        n_hidden: int = 128,
        n_layers: int = 1,
        dropout_rate: float = 0.1,
        normalization: str = "batch",
        covariance: str = "diagonal",
        use_observed_lib_size: bool = True,
        low_precision: bool = False,
        merging: Merging = "valleys",
        evidence_weight: float | None = None,
        random_state: int = 0,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in ("self", "adata")}
        setup, allow_non_counts = noted_setup(adata)
        with PROCESS_LOCK, warnings.catch_warnings():
            # setup_anndata has said it.
            warnings.simplefilter("ignore", DataWarning)
            cells = read_counts(adata, setup, allow_non_counts=allow_non_counts)
        self._start(cells, options, allow_non_counts)

    @classmethod
    def _of_cells(cls, cells: CellCounts, options: dict[str, Any], allow_non_counts: bool) -> SingleCellVMM:
        """A model of cells read before."""
        model = cls.__new__(cls)
        model._start(cells, options, allow_non_counts)
        return model

    def _start(self, cells: CellCounts, options: dict[str, Any], allow_non_counts: bool) -> None:
        options = plain_options(options)
        if is_generator(options["random_state"]):
            options["random_state"] = draw_seed(options["random_state"])
        check_whole_number(options["n_latent"], "n_latent", most=LARGEST_LATENT_DIM)
        for name in ("num_components", "n_hidden", "n_layers"):
            check_whole_number(options[name], name)
        check_merging(options["merging"], options["evidence_weight"])
        check_seed(options["random_state"], "random_state")
        for name in ("use_observed_lib_size", "low_precision"):
            check_boolean(options[name], name)
        self.options, self.cells, self.setup = options, cells, cells.setup
        self.allow_non_counts, self.random_state = allow_non_counts, options["random_state"]
        of_model = {name: value for name, value in options.items() if name in CountAssembly.__dataclass_fields__}
        self.assembly = CountAssembly(**persistence.with_copies(of_model))
        # Named wrongly, an option should not wait for train() to say so.
        self.assembly.make_likelihood(len(cells.gene_names), len(cells.batch_categories))
        self.assembly.check_prior()
        if cells.size_factor is not None and not options["use_observed_lib_size"]:
            raise UserError(
                f"Size factors (adata.obs[{cells.setup.size_factor_key!r}]) say what the library sizes are, and ",
                Option("use_observed_lib_size", False),
                " infers them: leave one of the two out.",
            )
        self.encoding = CovariateEncoding.of(cells, observed_library=bool(options["use_observed_lib_size"]))
        self.categories, self.batch_categories = cells.categories, cells.batch_categories
        self.module: Any = None
        self.guide: Any = None
        self.history: dict[str, pd.DataFrame] = {}
        self.validation_indices: NDArray[np.int64] | None = None
        self.is_trained_ = False
        self.stability_: Stability | None = None

    def __repr__(self) -> str:
        """What it is of, and how far it has come."""
        cells, genes = len(self.cells.cell_names), len(self.gene_names)
        prior = self.options["prior"]
        fit = "not trained"
        if self.is_trained_:
            fit = f"trained, {self.n_clusters_:,} cluster{'' if self.n_clusters_ == 1 else 's'}"
        name = prior if isinstance(prior, str) else type(prior).__name__
        return f"SingleCellVMM({cells:,} cells x {genes:,} genes, prior {name}, {fit})"

    @staticmethod
    @usual_settings()
    def setup_anndata(
        adata: AnnData,
        layer: str | None = None,
        batch_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        continuous_covariate_keys: Sequence[str] | None = None,
        size_factor_key: str | None = None,
        *,
        allow_non_counts: bool = False,
    ) -> None:
        """Say where in ``adata`` raw counts and covariates are; checks them, and notes the names in ``adata.uns``.

        Parameters
        ----------
        adata
            Cells in memory.
        layer
            Layer of the counts; None for ``adata.X`` and ``"raw"`` for ``adata.raw``.
        batch_key
            Column of ``adata.obs`` with each cell's batch (donor, technology); None for a single batch.
        categorical_covariate_keys, continuous_covariate_keys
            Columns of ``adata.obs`` with further covariates to be held apart from the biology.
        size_factor_key
            Column of ``adata.obs`` with known size factors, which take the place of total counts.
        allow_non_counts
            Do not insist on whole numbers, as with counts corrected for ambient RNA.

        Raises
        ------
        UserError
            For anything in counts or covariates that cannot be fitted, by name and with the mend; for a view, which
            AnnData would have to copy to take the note.
        """
        allow_non_counts = check_boolean(allow_non_counts, "allow_non_counts")
        named = (layer, batch_key, categorical_covariate_keys, continuous_covariate_keys, size_factor_key)
        setup = CountSetup(*map(plain, named))
        read_counts(adata, setup, allow_non_counts=allow_non_counts)
        note_setup(adata, setup, allow_non_counts=allow_non_counts)

    # ---- fitting -----------------------------------------------------------------------------------------------------

    def train(
        self,
        max_epochs: int | None = None,
        batch_size: int = 256,
        train_size: float = 0.9,
        early_stopping: bool = True,
        accelerator: str | torch.device = "auto",
        *,
        patience: int | None = None,
        learning_rate: float = 1e-3,
        prior_learning_rate: float | None = None,
        weight_rate: float = 1.0,
        learning_rate_schedule: str = "constant",
        kl_warmup_steps: int = 0,
        standard_normal_steps: int | None = None,
        prior_rest_steps: int = 0,
        enable_progress_bar: bool = False,
        watchers: Sequence[Watcher] = (),
        resume: str | Path | None = None,
    ) -> None:
        """Fit the model; called again, go on from where it is (``history`` does, too, its steps and seconds anew).

        Parameters
        ----------
        max_epochs
            Last epoch; None for enough to take 5,000 steps, at least 50 (of more than 160,000 cells fewer, 8 million cells in
            all, about as many as scvi-tools takes) and at most 1,000.
        batch_size
            Cells in a minibatch.
        train_size
            Share of the cells trained on; the others watch the ELBO. 1 for all. Every batch and every category of a
            categorical covariate has cells among those trained on.
        early_stopping
            Stop when the ELBO of the held-out cells has not risen for ``patience`` epochs. The state that was best on them
            is restored either way.
        accelerator
            ``"auto"``, ``"cpu"`` or ``"cuda"`` (also by scvi-tools' name, ``"gpu"``).
        patience
            Epochs; None for as many as hold 500 steps, and at least 15.
        learning_rate, prior_learning_rate
            Adam's, for the ELBO step and for the empirical-Bayes step (0.3 times the first when None; in trainings of a few
            hundred steps the prior has to learn as fast as the networks).
        weight_rate
            Learning rate of the mixture weights as a multiple of the prior's. Above 1, duplicated components die sooner
            while centres and precisions keep the encoder's pace; where counts are few, components that are needed die, too.
        learning_rate_schedule
            ``"constant"``, or ``"cosine"``: both fall to zero over ``max_epochs``.
        kl_warmup_steps
            Steps over which the KL term rises from 0 to full weight.
        standard_normal_steps
            Steps at first in which encoder and decoder are trained under ``Normal(0, I)``, while the prior is fitted to
            their latents; the mixture takes over then, and early stopping waits for it. This joins batches, which a
            mixture from the start leaves apart (see :class:`~pyro_vmm.infer.EmpiricalBayesSVI`). The components of a new
            model, if its prior was named and not given, then start at a third of that normal's width. None for 500, and
            at most half of the steps that ``max_epochs`` have, where the model is not trained yet and there are batches
            or other covariates, else 0.
        prior_rest_steps
            Steps at first in which the prior is not updated, so that no component is lost before there is an embedding.
        enable_progress_bar
            Show ELBO, components in use, the clusters that they make, and time left.
        watchers
            A list of objects that are called after every step and epoch, such as
            :class:`~pyro_vmm.training.CheckpointWriter`.
        resume
            A checkpoint folder of an earlier call with the same data and options, to go on from.

        Raises
        ------
        UserError
            For options that cannot be used.
        pyro_vmm.infer.NonFiniteError
            If a loss, a gradient or a running statistic ceases to be finite.
        KeyboardInterrupt
            For a second Ctrl-C, and for one before the first step is made. Also for one after the last step; what was learned is
            kept then.

        Warns
        -----
        pyro_vmm.training.InterruptedWarning
            If Ctrl-C ended the training: what was learned is kept (the state that was best on the held-out cells), and the model
            can be used or trained on.

        Notes
        -----
        The model changes when the training is over, all at once. An error leaves it as it was.
        """
        watchers, train_size = checked_watchers(watchers), plain(train_size)
        if not is_number(train_size) or not 0.0 < train_size <= 1.0:
            raise UserError(f"train_size is {train_size!r}: it must be above 0 and at most 1.")
        early_stopping = check_boolean(early_stopping, "early_stopping")
        batch_size = check_whole_number(batch_size, "batch_size")
        kl_warmup_steps = check_whole_number(kl_warmup_steps, "kl_warmup_steps", least=0)
        standard_normal_steps = check_whole_number(
            standard_normal_steps, "standard_normal_steps", least=0, or_none="for the default"
        )
        prior_rest_steps = check_whole_number(prior_rest_steps, "prior_rest_steps", least=0)
        max_epochs = check_whole_number(max_epochs, "max_epochs", or_none="for enough")
        patience = check_whole_number(patience, "patience", or_none="for 500 steps")
        learning_rate = check_positive(learning_rate, "learning_rate", "learning rate")
        if prior_learning_rate is not None:
            prior_learning_rate = check_positive(prior_learning_rate, "prior_learning_rate", "learning rate")
        weight_rate = check_positive(weight_rate, "weight_rate", "multiple of the prior's learning rate")
        begun_with = persistence.storable(self.options) | {
            "train_size": train_size,
            "batch_size": batch_size,
            "max_epochs": max_epochs,
            "learning_rate": learning_rate,
            "prior_learning_rate": prior_learning_rate,
            "weight_rate": weight_rate,
            "learning_rate_schedule": learning_rate_schedule,
            "kl_warmup_steps": kl_warmup_steps,
            "standard_normal_steps": standard_normal_steps,
            "prior_rest_steps": prior_rest_steps,
        }
        if batch_size < 2 and self.assembly.normalization == "batch":
            raise UserError(
                f"is {batch_size}: batch normalisation needs at least 2 cells",
                InPython(", or normalization='layer'"),
                ".",
                option="batch_size",
            )
        of_scvi = isinstance(accelerator, str) and accelerator == "gpu"
        device = choose_device("cuda" if of_scvi else accelerator, option="accelerator")
        if self.assembly.low_precision:
            warn_where_it_is_slow(device, stacklevel=2)
        training, held_out = split_rows(
            len(self.cells.cell_names),
            1.0 - train_size,
            self.random_state,
            groups=(self.cells.batch, *self.cells.categorical_covariates.values()),
        )
        if len(training) < 2 and self.assembly.normalization == "batch":
            raise UserError("There is one cell to train on: batch normalisation needs at least 2.")
        steps_per_epoch = num_minibatches(len(training), batch_size)
        if max_epochs is None:
            max_epochs = default_epochs(len(training), batch_size, least=LEAST_EPOCHS, most=MOST_EPOCHS)
        if patience is None:
            patience = max(15, -(-500 // steps_per_epoch))
        schedule = named_schedule(learning_rate_schedule, max_epochs * steps_per_epoch)
        validation_indices = self.validation_indices
        # The caller's own stream of random numbers is left where it was.
        numbers = OwnRandomNumbers(self.random_state, device)
        with usual_settings():
            if self.module is None:
                validation_indices = held_out
                with numbers, single_precision():
                    module, guide = self._build(training)
                    standard_normal_steps = self._begin(
                        module.prior, standard_normal_steps, max_epochs * steps_per_epoch
                    )
            else:
                # A training that fails, or is asked meanwhile, leaves the model as it was.
                module, guide = deepcopy((self.module, self.guide))
                if validation_indices is not None:
                    # What an earlier call trained on is not held out.
                    validation_indices = np.intersect1d(validation_indices, held_out)
            module.to(device)
            guide.to(device)
            svi = EmpiricalBayesSVI(
                module,
                guide,
                optim=learning_rate,
                prior_optim=prior_learning_rate,
                weight_rate=weight_rate,
                loss=TraceMeanField_ELBO(),
                kl_schedule=LinearWarmup(kl_warmup_steps) if kl_warmup_steps else None,
                learning_rate_schedule=schedule,
                standard_normal_steps=standard_normal_steps or 0,
                prior_rest_steps=prior_rest_steps,
            )
            cells = self.encoding.observations(self.cells)
            bars = [ProgressBar()] if enable_progress_bar else []
            trainer = Trainer(
                svi,
                cells.subset(training),
                cells.subset(held_out) if len(held_out) else None,
                batch_size=batch_size,
                max_epochs=max_epochs,
                early_stopping=EarlyStopping(patience if early_stopping else None),
                row_numbers=training,
                seed=self.random_state,
                number_of_clusters=self._number_of_clusters,
                random_numbers=numbers,
                options=begun_with,
                watchers=(*bars, *watchers),
            )
            if resume is not None:
                resume_training(trainer, as_folder(resume, "resume"))
            trainer.run()
            with trainer.kept_whole():
                clusters = self._clusters_of(Evaluation(module, guide), self.options)
                # A checkpoint has its whole history with it.
                history = self._history(trainer.history_so_far(), None if resume is not None else self.history or None)
                with PROCESS_LOCK:
                    self._take_over(module, guide)
                    self.validation_indices, self.history, self.clusters_ = validation_indices, history, clusters
                    self.trainer_finished_, self.interrupted_ = trainer.progress.finished, trainer.interrupted
                    sizes = np.bincount(self.cells.batch, minlength=len(self.batch_categories))
                    self.batch_shares_ = sizes / sizes.sum()
                    self.is_trained_, self.stability_ = True, None
        if trainer.progress.finished or trainer.interrupted:
            for bar in bars:
                bar.tell_clusters(self.n_clusters_)
        if trainer.interrupted:
            warnings.warn(
                f"{trainer.what_is_kept()} Call train again to continue the training.", InterruptedWarning, stacklevel=2
            )

    def _take_over(self, module: Any, guide: Any) -> None:
        """Make a trained model this one's; where there was one, its modules stay the same objects."""
        if self.module is None:
            self.module, self.guide = module, guide
            return
        for mine, trained in ((self.module, module), (self.guide, guide)):
            mine.to(next(guide.parameters()).device)
            mine.load_state_dict(trained.state_dict())
            mine.eval()

    def _build(self, training: NDArray[np.int64]) -> tuple[LatentMixtureModel, AmortizedNormal]:
        number = enough_components(
            self.options["num_components"], self.options["prior"], len(training), "cells", stacklevel=3
        )
        self.assembly = replace(self.assembly, num_components=number)
        return self.assembly.build(
            self.encoding,
            StartingValues.of(self.cells, training),
            num_batches=len(self.batch_categories),
            pseudo_inputs=lambda: pseudo_cells(self.cells, training, number, self.random_state),
        )

    def _begin(self, prior: Prior, standard_normal_steps: int | None, all_steps: int) -> int:
        """Steps that the untrained model begins with under a standard normal; its mixture is made ready for them."""
        if standard_normal_steps is None:
            to_join = bool(self.encoding.widths) and prior.fitted_by == "empirical-bayes"
            standard_normal_steps = min(STANDARD_NORMAL_STEPS, all_steps // 2) if to_join else 0
        if standard_normal_steps and isinstance(self.options["prior"], str):
            make_ready_for_standard_normal(prior)
        return standard_normal_steps

    @staticmethod
    def _history(
        rows: Sequence[Mapping[str, float]], earlier: dict[str, pd.DataFrame] | None
    ) -> dict[str, pd.DataFrame]:
        new = pd.DataFrame(rows, columns=list(COLUMNS))
        if earlier is not None:
            before = as_elbos(earlier).reindex(columns=list(COLUMNS))
            new = pd.concat([before, new.assign(epoch=new["epoch"] + len(before))], ignore_index=True)
        return as_losses(new)

    def _number_of_clusters(
        self, responsibilities: NDArray[np.float64], latents: NDArray[np.float32], weights: NDArray[np.float64]
    ) -> int:
        merging, evidence_weight = self.options["merging"], self.options["evidence_weight"]
        return Clusters.of(responsibilities, latents, weights, merging, evidence_weight).number

    def _clusters_of(self, evaluation: Evaluation, options: Mapping[str, Any]) -> Clusters:
        latents = evaluation.posterior_mean(self.encoding.observations(self.cells))
        responsibilities = evaluation.responsibilities_at(latents)
        weights = evaluation.model.prior.weights.detach().double().cpu().numpy()
        return Clusters.of(responsibilities, latents, weights, options["merging"], options["evidence_weight"])

    @undisturbed()
    def rejoin(self, *, merging: Merging | None = None, evidence_weight: float | None = None) -> None:
        """Decide anew which components are one cluster, without another training; clusters get other numbers.

        Forgets what :meth:`stability` found of the earlier clusters; :meth:`annotate` writes the new ones.

        Parameters
        ----------
        merging, evidence_weight
            As at the start. Without ``merging``, None leaves either as it is; a rule that is given comes with the weight that
            is given with it, or its own.

        Raises
        ------
        UserError
            Before :meth:`train`, for a rule that does not exist, and for a weight that is not positive.
        """
        self._check_trained()
        options, evidence_weight = dict(self.options), plain(evidence_weight)
        if merging is not None:
            options |= {"merging": merging, "evidence_weight": evidence_weight}
        elif evidence_weight is not None:
            options |= {"evidence_weight": evidence_weight}
        check_merging(options["merging"], options["evidence_weight"])
        clusters = self._clusters_of(self._evaluation, options)
        self.options, self.clusters_, self.stability_ = options, clusters, None

    # ---- back in scanpy ----------------------------------------------------------------------------------------------

    @undisturbed()
    def annotate(self, adata: AnnData) -> None:
        """Write embedding and clusters into ``adata``; see :func:`pyro_vmm.single_cell.annotation.annotate`."""
        annotation.annotate(self, adata)

    # ---- whether it went well ----------------------------------------------------------------------------------------

    @undisturbed()
    def diagnose(
        self, adata: AnnData | None = None, labels_key: str | None = None, *, batch_key: str | None = None
    ) -> Diagnosis:
        """Say in words whether the fit went well, in some seconds; ``print`` it.

        Clusters are counted on at most 20,000 cells, neighbours and posteriors are of at most 3,000, drawn at random; agreement
        between seeds is told after :meth:`stability`.

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
        return diagnose_cells(self, adata, labels_key, batch_key)

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
        self._check_trained()
        return simulation_based_calibration(
            self.module,
            self.guide,
            self.encoding.tensors(self.cells),
            num_simulations=num_simulations,
            seed=seed,
        )

    @usual_settings()
    def stability(self, num_seeds: int = 5, **train_options: Any) -> Stability:
        """Fit again with other seeds and compare the clusters; takes as long as ``num_seeds - 1`` fits.

        Parameters
        ----------
        num_seeds
            Runs in all, this fit the first of them.
        **train_options
            Of :meth:`train`: give those that this fit was trained with.

        Raises
        ------
        UserError
            Before :meth:`train`, if ``num_seeds`` is below 2, and as :meth:`train`.
        """
        self._check_trained()
        found = refit_cells(self, num_seeds, train_options)
        self.stability_ = found
        return found

    # ---- storing -----------------------------------------------------------------------------------------------------

    @undisturbed()
    def save(self, directory: str | Path, *, overwrite: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder; the cells are not stored.

        Parameters
        ----------
        directory
            Made if absent.
        overwrite
            Replace the model that the folder holds, if it holds one.

        Raises
        ------
        UserError
            Before :meth:`train`; if the folder holds a model and ``overwrite`` is False, or cannot be written.
        """
        self._check_trained()
        folder = as_folder(directory)
        if not check_boolean(overwrite, "overwrite"):
            persistence.refuse_to_overwrite(folder)
        storage.save(self, folder)

    @classmethod
    @usual_settings()
    def load(cls, directory: str | Path, adata: AnnData, **objects: Any) -> SingleCellVMM:
        """Read what :meth:`save` wrote, for ``adata`` with the same genes and known batches.

        ``objects`` gives again what cannot be stored (a likelihood or prior of one's own), by name. Counts and covariates
        are looked for in ``adata`` where the fitted AnnData had them.
        """
        check_names(objects, inspect.signature(cls).parameters.keys() - {"adata"}, "SingleCellVMM")
        return storage.load(cls, as_folder(directory), adata, objects)
