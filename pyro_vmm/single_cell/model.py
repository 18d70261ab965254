"""``SingleCellVMM``: from an AnnData of counts to clusters and an integrated embedding."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pyro.infer import TraceMeanField_ELBO
from torch import Tensor

from pyro_vmm import persistence
from pyro_vmm.clustering import EVIDENCE_WEIGHT, Clusters, FoundClusters, Merging, check_merging
from pyro_vmm.data import CellCounts, CountSetup, DataWarning, read_counts
from pyro_vmm.data.arrays import listed
from pyro_vmm.devices import choose_device
from pyro_vmm.diagnosis import Diagnosis, Stability
from pyro_vmm.diagnosis.cells import diagnose_cells
from pyro_vmm.diagnosis.refits import refit_cells
from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import Evaluation
from pyro_vmm.infer import EmpiricalBayesSVI, LinearWarmup, named_schedule
from pyro_vmm.option_checks import as_folder, check_names, check_positive, check_seed, check_whole_number, is_number
from pyro_vmm.single_cell import annotation, storage
from pyro_vmm.single_cell.assembly import CountAssembly
from pyro_vmm.single_cell.covariates import CovariateEncoding
from pyro_vmm.single_cell.expression import LibrarySize, normalized_expression, replicate
from pyro_vmm.single_cell.pseudo_cells import pseudo_cells
from pyro_vmm.single_cell.setup import note_setup, noted_setup
from pyro_vmm.single_cell.starting_values import StartingValues
from pyro_vmm.training import (
    EarlyStopping,
    ProgressBar,
    SparseRows,
    Trainer,
    Watcher,
    resume_training,
    split_rows,
)

if TYPE_CHECKING:
    from anndata import AnnData

HISTORY = ("epoch", "step", "elbo", "validation_elbo", "empirical_bayes_loss", "clusters_in_use", "seconds")

STEPS, LEAST_EPOCHS, MOST_EPOCHS = 5000, 50, 1000
"""By default training lasts for this many steps, but no fewer and no more epochs than these."""


class SingleCellVMM(FoundClusters):
    """VampPrior mixture model of single-cell counts: clusters, an integrated embedding and a generative model in one fit.

    The names are those of scvi-tools: :meth:`setup_anndata`, :meth:`train`, ``get_*``.

    Parameters
    ----------
    adata
        Cells, after :meth:`setup_anndata`. It is read, never changed.
    n_latent
        Dimensions ``D`` of the embedding.
    num_components
        Truncation ``K`` of the mixture: an upper bound on the number of clusters.
    gene_likelihood
        ``"zinb"``, ``"nb"``, ``"poisson"`` or a :class:`~pyro_vmm.likelihoods.Likelihood` of counts.
    prior, prior_inference, weights, prior_weight, responsibility_gradient
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
    merging
        ``"evidence"``: components whose cells are better described as one Gaussian of the latent space than as two are one
        cluster. The pair that gains most marginal likelihood (Gaussians integrated out; see
        :func:`pyro_vmm.clustering.merge_tree`) is joined, again and again, while there is a gain. ``"none"`` keeps every
        component in use a cluster of its own. ``predict(num_clusters=...)`` goes further down the same tree.
    evidence_weight
        Cells count as though there were at most so many of them: what a Gaussian describes well enough for so many stays one
        cluster, however many there are. Larger is finer.
    random_state
        One seed for everything. The same seed, data, versions and thread count give the same numbers on a CPU.

    Attributes
    ----------
    history
        After training, ``pandas.DataFrame`` by name as in scvi-tools, a row an epoch: ``elbo_train`` and
        ``elbo_validation`` (as there, losses: the *negative* ELBO in nats a cell), ``empirical_bayes_loss``,
        ``clusters_in_use`` (components, before they are joined; counted on the same 1,000 cells every epoch).
    validation_indices
        Rows of the cells held out by every call of :meth:`train`, ``[V]`` in increasing order; None before, and after
        :meth:`load`, which does not know them. They chose the state that was kept, so of truly new cells expect a little
        worse.
    module, guide
        The fitted :class:`~pyro_vmm.models.LatentMixtureModel` and :class:`~pyro_vmm.guides.AmortizedNormal`.
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

    def __init__(
        self,
        adata: AnnData,
        n_latent: int = 10,
        num_components: int = 100,
        gene_likelihood: Any = "zinb",
        prior: Any = "vamp-mixture",
        *,
        prior_inference: str = "map-dp",
        weights: str = "stick-breaking",
        prior_weight: float = 256.0,
        responsibility_gradient: str = "stopped",
        dispersion: str = "gene",
        n_hidden: int = 128,
        n_layers: int = 1,
        dropout_rate: float = 0.1,
        normalization: str = "batch",
        covariance: str = "diagonal",
        use_observed_lib_size: bool = True,
        merging: Merging = "evidence",
        evidence_weight: float = EVIDENCE_WEIGHT,
        random_state: int = 0,
    ) -> None:
        options = {name: value for name, value in locals().items() if name not in ("self", "adata")}
        setup, allow_non_counts = noted_setup(adata)
        with warnings.catch_warnings():
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
        for name in ("n_latent", "num_components", "n_hidden", "n_layers"):
            check_whole_number(options[name], name)
        check_merging(options["merging"], options["evidence_weight"])
        check_seed(options["random_state"], "random_state")
        if not isinstance(options["use_observed_lib_size"], bool | np.bool_):
            raise UserError(f"use_observed_lib_size is {options['use_observed_lib_size']!r}: it must be True or False.")
        self.options, self.cells, self.setup = options, cells, cells.setup
        self.allow_non_counts, self.random_state = allow_non_counts, int(options["random_state"])
        of_model = {name: value for name, value in options.items() if name in CountAssembly.__dataclass_fields__}
        self.assembly = CountAssembly(**persistence.with_copies(of_model))
        # Named wrongly, an option should not wait for train() to say so.
        self.assembly.make_likelihood(len(cells.gene_names), len(cells.batch_categories))
        self.assembly.check_prior()
        if cells.size_factor is not None and not options["use_observed_lib_size"]:
            raise UserError(
                f"Size factors (adata.obs[{cells.setup.size_factor_key!r}]) say what the library sizes are, and "
                "use_observed_lib_size=False infers them: leave one of the two out."
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
        setup = CountSetup(
            layer, batch_key, categorical_covariate_keys or (), continuous_covariate_keys or (), size_factor_key
        )
        read_counts(adata, setup, allow_non_counts=allow_non_counts)
        note_setup(adata, setup, allow_non_counts=allow_non_counts)

    # ---- fitting -----------------------------------------------------------------------------------------------------

    def train(
        self,
        max_epochs: int | None = None,
        batch_size: int = 256,
        train_size: float = 0.9,
        early_stopping: bool = True,
        accelerator: str = "auto",
        *,
        patience: int | None = None,
        learning_rate: float = 1e-3,
        prior_learning_rate: float | None = None,
        weight_rate: float = 1.0,
        learning_rate_schedule: str = "constant",
        kl_warmup_steps: int = 0,
        enable_progress_bar: bool = False,
        watchers: Sequence[Watcher] = (),
        resume: Path | None = None,
    ) -> None:
        """Fit the model; called again, go on from where it is (``history`` does, too, its steps and seconds anew).

        Parameters
        ----------
        max_epochs
            Last epoch; None for enough to take 5,000 steps (at least 50 epochs, at most 1,000).
        batch_size
            Cells in a minibatch.
        train_size
            Share of the cells trained on; the others watch the ELBO. 1 for all.
        early_stopping
            Stop when the ELBO of the held-out cells has not risen for ``patience`` epochs. The state that was best on them
            is restored either way.
        accelerator
            ``"auto"``, ``"cpu"`` or ``"cuda"`` (also by scvi-tools' name, ``"gpu"``).
        patience
            Epochs; None for as many as hold 500 steps, and at least 15.
        learning_rate, prior_learning_rate
            Adam's, for the ELBO step and for the empirical-Bayes step (the same when None).
        weight_rate
            Learning rate of the mixture weights as a multiple of the prior's. Above 1, duplicated components die sooner
            while centres and precisions keep the encoder's pace; where counts are few, components that are needed die, too.
        learning_rate_schedule
            ``"constant"``, or ``"cosine"``: both fall to zero over ``max_epochs``.
        kl_warmup_steps
            Steps over which the KL term rises from 0 to full weight.
        enable_progress_bar
            Show ELBO, clusters in use and time left.
        watchers
            Told of every step and epoch; :class:`~pyro_vmm.training.CheckpointWriter` is one.
        resume
            A checkpoint folder of an earlier call with the same data and options, to go on from.

        Raises
        ------
        UserError
            For options that cannot be used.
        pyro_vmm.infer.NonFiniteError
            If a loss, a gradient or a running statistic ceases to be finite.
        """
        if not is_number(train_size) or not 0.0 < train_size <= 1.0:
            raise UserError(f"train_size is {train_size!r}: it must be above 0 and at most 1.")
        check_whole_number(batch_size, "batch_size")
        check_whole_number(kl_warmup_steps, "kl_warmup_steps", least=0)
        check_whole_number(max_epochs, "max_epochs", or_none="for enough")
        check_whole_number(patience, "patience", or_none="for 500 steps")
        check_positive(learning_rate, "learning_rate", "learning rate")
        if prior_learning_rate is not None:
            check_positive(prior_learning_rate, "prior_learning_rate", "learning rate")
        check_positive(weight_rate, "weight_rate", "multiple of the prior's learning rate")
        if batch_size < 2 and self.assembly.normalization == "batch":
            raise UserError(
                f"batch_size is {batch_size}: batch normalisation needs at least 2 cells, or normalization='layer'."
            )
        device = choose_device("cuda" if accelerator == "gpu" else accelerator, option="accelerator")
        training, held_out = split_rows(len(self.cells.cell_names), 1.0 - train_size, self.random_state)
        if self.module is None:
            self.validation_indices = held_out
        elif self.validation_indices is not None:
            # What an earlier call trained on is not held out.
            self.validation_indices = np.intersect1d(self.validation_indices, held_out)
        steps_per_epoch = max(1, -(-len(training) // max(1, batch_size)))
        if max_epochs is None:
            max_epochs = int(np.clip(-(-STEPS // steps_per_epoch), LEAST_EPOCHS, MOST_EPOCHS))
        if patience is None:
            patience = max(15, -(-500 // steps_per_epoch))
        schedule = named_schedule(learning_rate_schedule, max_epochs * steps_per_epoch)
        # The caller's own stream of random numbers is left where it was.
        rng_devices = [device] if device.type == "cuda" else []
        with self._undone_if_it_fails(), torch.random.fork_rng(rng_devices):
            torch.manual_seed(self.random_state)
            if self.module is None:
                self._build(training)
            self.module.to(device)
            self.guide.to(device)
            svi = EmpiricalBayesSVI(
                self.module,
                self.guide,
                optim=learning_rate,
                prior_optim=learning_rate if prior_learning_rate is None else prior_learning_rate,
                weight_rate=weight_rate,
                loss=TraceMeanField_ELBO(),
                kl_schedule=LinearWarmup(kl_warmup_steps) if kl_warmup_steps else None,
                learning_rate_schedule=schedule,
            )
            x, covariates = SparseRows(self.cells.counts), self.encoding.tensors(self.cells)
            trainer = Trainer(
                svi,
                x.subset(torch.from_numpy(training)),
                x.subset(torch.from_numpy(held_out)) if len(held_out) else None,
                covariates={name: values[training] for name, values in covariates.items()},
                validation_covariates={name: values[held_out] for name, values in covariates.items()},
                batch_size=int(batch_size),
                max_epochs=max_epochs,
                early_stopping=EarlyStopping(patience if early_stopping else None),
                row_numbers=training,
                seed=self.random_state,
                watchers=(*((ProgressBar(),) if enable_progress_bar else ()), *watchers),
            )
            if resume is not None:
                resume_training(trainer, as_folder(resume))
            trainer.run()
        self.trainer_finished_ = trainer.progress.finished
        self.is_trained_, self.stability_ = True, None
        # A checkpoint has its whole history with it.
        self._note_history(trainer.history, None if resume is not None else self.history or None)
        self._find_clusters()

    @contextmanager
    def _undone_if_it_fails(self) -> Iterator[None]:
        """After a first training that fails, the next one starts where it did."""
        untrained = self.module is None
        try:
            yield
        except BaseException:
            if untrained:
                self.module = self.guide = None
            raise

    def _build(self, training: NDArray[np.int64]) -> None:
        self.module, self.guide = self.assembly.build(
            self.encoding,
            StartingValues.of(self.cells, training),
            num_batches=len(self.batch_categories),
            pseudo_inputs=pseudo_cells(self.cells, training, self.assembly.num_components, self.random_state),
        )

    def _note_history(self, rows: Sequence[Mapping[str, float]], earlier: dict[str, pd.DataFrame] | None) -> None:
        table = pd.DataFrame(rows, columns=list(HISTORY)).set_index("epoch")
        names = {"elbo_train": -table["elbo"], "elbo_validation": -table["validation_elbo"]}
        names |= {name: table[name] for name in ("empirical_bayes_loss", "clusters_in_use", "step", "seconds")}
        new = {name: values.to_frame(name) for name, values in names.items()}
        if earlier is not None:
            done = len(earlier["elbo_train"])
            new = {name: pd.concat([earlier[name], frame.set_axis(frame.index + done)]) for name, frame in new.items()}
        self.history = new

    def _find_clusters(self) -> None:
        x, covariates = self._cells(None, None)
        responsibilities = self._evaluation.responsibilities(x, covariates=covariates)
        weights = self.module.prior.weights.detach().double().cpu().numpy()
        latents = self._evaluation.posterior_mean(x, covariates)
        self.clusters_ = Clusters.of(
            responsibilities, latents, weights, self.options["merging"], self.options["evidence_weight"]
        )
        sizes = np.bincount(self.cells.batch, minlength=len(self.batch_categories))
        self.batch_shares_ = sizes / sizes.sum()

    # ---- what a fit is for -------------------------------------------------------------------------------------------

    def get_latent_representation(
        self, adata: AnnData | None = None, indices: Any = None, give_mean: bool = True
    ) -> NDArray[np.float32]:
        """Posterior means of the latents, ``[n_obs, n_latent]``; with ``give_mean=False`` one posterior sample each.

        Parameters
        ----------
        adata
            Cells with the model's genes and known batches; None for those fitted. So everywhere below.
        indices
            Rows, or a Boolean mask, of the cells wanted; None for all. So everywhere below.
        give_mean
            Mean rather than a sample.

        Raises
        ------
        UserError
            Before :meth:`train`, and for cells that the model cannot read. So everywhere below.
        """
        x, covariates = self._cells(adata, indices)
        if give_mean:
            return self._evaluation.posterior_mean(x, covariates)

        def draw(block: Tensor, **given: Tensor) -> Tensor:
            return self.guide.posterior(block, **given).sample()

        return self._evaluation.by_rows(draw, x, covariates).astype(np.float32)

    def predict_proba(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        *,
        num_samples: int = 0,
        num_clusters: int | None = None,
        batch_free: bool = False,
    ) -> NDArray[np.float64]:
        """Responsibilities, ``[n_obs, num_components]``; rows sum to one.

        Those of components that are one cluster (``merging``) stand summed in the column of the cluster.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        num_samples
            0: evaluated at the posterior mean of ``z``; more: averaged over so many posterior samples, which is less sure
            of itself where the posterior straddles clusters.
        num_clusters
            Merge components down to so many clusters first (``[n_obs, num_clusters]``).
        batch_free
            Do not use a cell's batch: average over encoding it as of each batch, weighted by the batches' share of the
            cells fitted.
        """
        check_whole_number(num_samples, "num_samples", least=0)
        x, covariates = self._cells(adata, indices)
        evaluation = self._evaluation
        if batch_free and "batch" in covariates:
            responsibilities = np.zeros((len(x), self.module.prior.num_components))
            for batch, share in enumerate(self.batch_shares_):
                as_of = torch.zeros_like(covariates["batch"])
                as_of[:, batch] = 1.0
                responsibilities += share * evaluation.responsibilities(x, num_samples, covariates | {"batch": as_of})
        else:
            responsibilities = evaluation.responsibilities(x, num_samples, covariates)
        responsibilities = self.clusters_.arrange(responsibilities)
        if num_clusters is None:
            return responsibilities
        return self.merge_tree_.merge_responsibilities(responsibilities, num_clusters).astype(np.float64)

    def predict(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        *,
        num_clusters: int | None = None,
        batch_free: bool = False,
    ) -> NDArray[np.int64]:
        """The most probable cluster of each cell, ``[n_obs]``; see :meth:`predict_proba`."""
        return self.predict_proba(adata, indices, num_clusters=num_clusters, batch_free=batch_free).argmax(1)

    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        transform_batch: str | Iterable[str] | None = None,
        gene_list: Sequence[str] | None = None,
        library_size: LibrarySize = 1.0,
        n_samples: int = 0,
    ) -> pd.DataFrame:
        """Denoised expression ``library_size * rho``, cells by genes.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        transform_batch
            Decode all cells as of this batch, or averaged over these; None for each cell's own.
        gene_list
            Genes wanted; None for all.
        library_size
            Counts that a cell is scaled to (1: shares), or ``"latent"`` for the cell's own.
        n_samples
            Posterior samples to average over; 0 for the posterior mean of ``z``.

        Raises
        ------
        UserError
            For an unknown batch or gene, or a library size that is not positive.
        """
        if not (isinstance(library_size, str) and library_size == "latent"):
            if not (is_number(library_size) and 0.0 < library_size < np.inf):
                raise UserError(f"library_size is {library_size!r}: give a positive number of counts, or 'latent'.")
            library_size = float(library_size)
        check_whole_number(n_samples, "n_samples", least=0)
        cells = self._read(adata, indices)
        genes = self._genes(gene_list)
        values = normalized_expression(
            self._evaluation,
            SparseRows(cells.counts),
            self.encoding.tensors(cells),
            genes=genes,
            batches=self._batches(transform_batch),
            library_size=library_size,
            num_samples=int(n_samples),
        )
        return pd.DataFrame(values, index=cells.cell_names, columns=self.gene_names[genes])

    def posterior_predictive_sample(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        n_samples: int = 1,
        gene_list: Sequence[str] | None = None,
    ) -> NDArray[np.float32]:
        """Counts replicated from ``p(x_new | x)``: ``[n_obs, genes]``, or ``[n_obs, genes, n_samples]`` for several."""
        check_whole_number(n_samples, "n_samples")
        x, covariates = self._cells(adata, indices)
        counts = replicate(self._evaluation, x, covariates, genes=self._genes(gene_list), num_samples=n_samples)
        return (counts[..., 0] if n_samples == 1 else counts).astype(np.float32)

    def get_elbo(self, adata: AnnData | None = None, indices: Any = None) -> float:
        """Mean ELBO in nats a cell (higher is better), from one posterior sample each."""
        return float(self._evaluation.log_ratios(*self._some_cells(adata, indices))[0].mean())

    def get_reconstruction_error(self, adata: AnnData | None = None, indices: Any = None) -> float:
        """Mean of ``-E_q[log p(x | z)]`` in nats a cell, from one posterior sample each."""
        return -float(self._evaluation.log_ratios(*self._some_cells(adata, indices))[1].mean())

    def get_marginal_ll(self, adata: AnnData | None = None, indices: Any = None, n_mc_samples: int = 100) -> float:
        """Mean importance-weighted ``log p(x)`` in nats a cell, with so many posterior samples each."""
        check_whole_number(n_mc_samples, "n_mc_samples")
        ratios = self._evaluation.log_ratios(*self._some_cells(adata, indices), num_samples=n_mc_samples)[0]
        return float((np.logaddexp.reduce(ratios, 1) - np.log(n_mc_samples)).mean())

    def annotate(self, adata: AnnData) -> None:
        """Write embedding and clusters into ``adata``; see :func:`pyro_vmm.single_cell.annotation.annotate`."""
        annotation.annotate(self, adata)

    # ---- whether it went well ----------------------------------------------------------------------------------------

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

    def save(self, directory: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder; the cells are not stored."""
        self._check_trained()
        storage.save(self, as_folder(directory))

    @classmethod
    def load(cls, directory: str | Path, adata: AnnData, **objects: Any) -> SingleCellVMM:
        """Read what :meth:`save` wrote, for ``adata`` with the same genes and known batches.

        ``objects`` gives again what cannot be stored (a likelihood or prior of one's own), by name. Counts and covariates
        are looked for in ``adata`` where the fitted AnnData had them.
        """
        check_names(objects, inspect.signature(cls).parameters.keys() - {"adata"}, "SingleCellVMM")
        return storage.load(cls, as_folder(directory), adata, objects)

    # ---- inside ------------------------------------------------------------------------------------------------------

    @property
    def gene_names(self) -> NDArray[np.str_]:
        """Genes of the model, ``[G]``."""
        return self.cells.gene_names

    @property
    def _found(self) -> Clusters:
        self._check_trained()
        return self.clusters_

    def _check_trained(self) -> None:
        if not self.is_trained_:
            raise UserError("The model is not trained yet: call train() first.")

    @property
    def _evaluation(self) -> Evaluation:
        self._check_trained()
        return Evaluation(self.module, self.guide)

    def _read(self, adata: AnnData | None, indices: Any) -> CellCounts:
        self._check_trained()
        cells = self.cells
        if adata is not None:
            cells = read_counts(
                adata,
                self.setup,
                allow_non_counts=self.allow_non_counts,
                categories=self.categories,
                gene_names=self.gene_names,
            )
        return cells if indices is None else cells.subset(indices)

    def _cells(self, adata: AnnData | None, indices: Any) -> tuple[SparseRows, dict[str, Tensor]]:
        cells = self._read(adata, indices)
        return SparseRows(cells.counts), self.encoding.tensors(cells)

    def _some_cells(self, adata: AnnData | None, indices: Any) -> tuple[SparseRows, dict[str, Tensor]]:
        x, covariates = self._cells(adata, indices)
        if not len(x):
            raise UserError("indices choose no cell, and a mean needs one: give at least one row, or None for all.")
        return x, covariates

    def _genes(self, gene_list: Sequence[str] | None) -> NDArray[np.int64]:
        if gene_list is None:
            return np.arange(len(self.gene_names))
        if isinstance(gene_list, str):
            raise UserError(f"gene_list must be a list of genes, not one name: give [{str(gene_list)!r}].")
        if not isinstance(gene_list, Iterable) or isinstance(gene_list, set | frozenset):
            raise UserError(f"gene_list is {gene_list!r}: give a list of genes, or None for all.")
        gene_list = list(gene_list)
        places = {str(name): place for place, name in enumerate(self.gene_names)}
        for name in gene_list:
            if name not in places:
                raise UserError(f"The model has no gene {name!r}: give names among model.gene_names.")
        return np.array([places[name] for name in gene_list], dtype=np.int64)

    def _batches(self, transform_batch: str | Iterable[str] | None) -> list[int | None]:
        if transform_batch is None:
            return [None]
        several = not isinstance(transform_batch, str) and isinstance(transform_batch, Iterable)
        names = list(transform_batch) if several else [transform_batch]
        known = self.batch_categories
        if not names:
            raise UserError(
                f"transform_batch names no batch: choose among {listed(known)}, or None for each cell's own."
            )
        for name in names:
            if str(name) not in known:
                raise UserError(f"transform_batch={name!r} is no batch of the model: choose among {listed(known)}.")
        return [known.index(str(name)) for name in names]
