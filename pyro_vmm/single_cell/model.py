"""``SingleCellVMM``: from an AnnData of counts to clusters and an integrated embedding."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pyro_vmm.clustering import Merging, check_merging
from pyro_vmm.data import CellCounts, CountSetup, DataWarning, read_counts
from pyro_vmm.data.cells_on_disk import as_paths, columns_of
from pyro_vmm.errors import Option, UserError, options_called
from pyro_vmm.fit import Fit
from pyro_vmm.fit.fitting import train
from pyro_vmm.modalities.counts import Counts
from pyro_vmm.observations import num_minibatches
from pyro_vmm.option_checks import check_boolean
from pyro_vmm.options import SINGLE_CELL, canonical, checked
from pyro_vmm.plain_values import plain
from pyro_vmm.priors import PRIOR_WEIGHT
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.single_cell.absent import NotHere
from pyro_vmm.single_cell.another_training import continued, in_modules_of
from pyro_vmm.single_cell.comparisons import Comparisons
from pyro_vmm.single_cell.face_options import IN_ITS_WORDS, given_otherwise, options_of_training
from pyro_vmm.single_cell.populations import Populations
from pyro_vmm.single_cell.query import Queried
from pyro_vmm.single_cell.reviews import Reviewed
from pyro_vmm.single_cell.scvi_names import in_our_words
from pyro_vmm.single_cell.setup import note_setup, noted_setup
from pyro_vmm.single_cell.storing import Stored
from pyro_vmm.training import Watcher

if TYPE_CHECKING:
    from anndata import AnnData

    from pyro_vmm.data.cells_on_disk import Paths


class SingleCellVMM(Reviewed, Comparisons, Populations, Queried, Stored, NotHere):
    """VampPrior mixture model of single-cell counts: clusters, an integrated embedding and a generative model in one fit.

    The names are those of scvi-tools: :meth:`setup_anndata`, :meth:`train`, ``get_*``.

    Parameters
    ----------
    adata
        Cells, after :meth:`setup_anndata`: an AnnData, or a path or a list of paths, whose counts stay on disk. It is read,
        never changed.
    n_latent
        Dimensions ``D`` of the embedding; None for 10, and for 5 where there are fewer than 1,000 cells.
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
        ``"contact"``: components are one cluster that touch as the parts of one population do: of the nearest neighbours of
        the smaller one's cells at least three tenths as many lie in the other as where a plane cuts a Gaussian in two (a fifth
        where one Gaussian describes both better than two), and the density does not fall and rise again between them. See
        :func:`pyro_vmm.clustering.merge_tree`. ``"valleys"``: components are one cluster that one Gaussian describes better,
        unless the density falls and rises again between them. ``"evidence"`` does not look for valleys. ``"none"`` keeps every
        component in use a cluster of its own. ``"misclassification"`` first joins those of which the mixture takes more than one
        in twenty cells for another's, which types that shade into one another do not survive.
        ``predict(num_clusters=...)`` goes further down the same tree, or up.
    evidence_weight
        Upper limit on the effective sample size in the merge test; larger gives more clusters. None for no limit with
        ``merging="misclassification"``, otherwise for 200 per latent dimension, at least 2,000.
    random_state
        One seed for everything, or a generator of NumPy's to draw it from. The same seed, data, versions and thread count
        give the same numbers on a CPU.
    **theirs
        Further arguments of scvi-tools, each taken or refused as the documentation's table of them says.

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

    modality_class: ClassVar[type[Counts]] = Counts
    """What reads the cells and builds the model."""

    @usual_settings()
    def __init__(
        self,
        adata: AnnData | Paths,
        n_latent: int | None = None,
        num_components: int = 100,
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
        merging: Merging = "contact",
        evidence_weight: float | None = None,
        random_state: int = 0,
        **theirs: Any,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "adata", "theirs")}
        options = given | in_our_words("SingleCellVMM", theirs, given_otherwise(given))
        setup, allow_non_counts = noted_setup(adata)
        with PROCESS_LOCK, warnings.catch_warnings():
            # setup_anndata has said it.
            warnings.simplefilter("ignore", DataWarning)
            cells = read_counts(adata, setup, allow_non_counts=allow_non_counts)
        self._start(cells, options, allow_non_counts)
        self._adata = None if as_paths(adata) else adata

    @classmethod
    def _of_cells(cls, cells: CellCounts, options: dict[str, Any], allow_non_counts: bool) -> SingleCellVMM:
        """A model of cells read before."""
        model = cls.__new__(cls)
        model._start(cells, options, allow_non_counts)
        return model

    def _start(self, cells: CellCounts, options: dict[str, Any], allow_non_counts: bool) -> None:
        check_merging(options["merging"], options["evidence_weight"])
        given = checked(options, Counts.entries(), SINGLE_CELL)
        all_options = Counts.with_defaults(canonical(given, Counts.entries(), SINGLE_CELL))
        self.cells, self.fit_, self._adata = cells, None, None
        with options_called(IN_ITS_WORDS):
            self.modality, _ = self.modality_class.learn(cells, all_options, allow_non_counts=allow_non_counts)

    def __repr__(self) -> str:
        """What it is of, and how far it has come."""
        cells, genes = len(self.cells.cell_names), len(self.gene_names)
        prior = self.modality.options["prior"]
        fit = "not trained"
        if self.is_trained_:
            fit = f"trained, {self.n_clusters_:,} cluster{'' if self.n_clusters_ == 1 else 's'}"
        name = prior if isinstance(prior, str) else type(prior).__name__
        return f"SingleCellVMM({cells:,} cells x {genes:,} genes, prior {name}, {fit})"

    @staticmethod
    @usual_settings()
    def setup_anndata(
        adata: AnnData | Paths,
        layer: str | None = None,
        batch_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        continuous_covariate_keys: Sequence[str] | None = None,
        size_factor_key: str | None = None,
        *,
        labels_key: str | None = None,
        allow_non_counts: bool = False,
        **theirs: Any,
    ) -> None:
        """Say where in ``adata`` raw counts and covariates are; checks them, and notes the names in ``adata.uns``.

        Parameters
        ----------
        adata
            Cells in memory; or a backed AnnData (``anndata.read_h5ad(path, backed="r")``), a path of an ``.h5ad``, or a list of
            paths with the same genes: their counts, stored by rows (CSR), are looked through once and stay on disk. Files are
            never written to; what is said of a path holds until the process ends.
        layer
            Layer of the counts; None for ``adata.X`` and ``"raw"`` for ``adata.raw``.
        batch_key
            Column of ``adata.obs`` with each cell's batch (donor, technology); None for a single batch.
        categorical_covariate_keys, continuous_covariate_keys
            Columns of ``adata.obs`` with further covariates to be held apart from the biology.
        size_factor_key
            Column of ``adata.obs`` with known size factors, which take the place of total counts.
        labels_key
            Column of ``adata.obs`` with labels. It has to be there; no fit reads it.
        allow_non_counts
            Do not insist on whole numbers, as with counts corrected for ambient RNA.
        **theirs
            Further arguments of scvi-tools, each taken or refused as the documentation's table of them says.

        Raises
        ------
        UserError
            For anything in counts or covariates that cannot be fitted, by name and with the mend; for a view, which
            AnnData would have to copy to take the note.
        """
        in_our_words("setup_anndata", theirs)
        allow_non_counts = check_boolean(allow_non_counts, "allow_non_counts")
        named = (layer, batch_key, categorical_covariate_keys, continuous_covariate_keys, size_factor_key)
        setup = CountSetup(*map(plain, named))
        read_counts(adata, setup, allow_non_counts=allow_non_counts)
        if labels_key is not None and labels_key not in columns_of(adata):
            raise UserError(
                f"adata.obs has no column {labels_key!r} (", Option("labels_key"), "): give the name of one."
            )
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
        weight_decay: float = 0.0,
        learning_rate_schedule: str = "constant",
        kl_warmup_steps: int = 0,
        standard_normal_steps: int | None = None,
        prior_rest_steps: int = 0,
        enable_progress_bar: bool = True,
        watchers: Sequence[Watcher] = (),
        resume: str | Path | None = None,
        **theirs: Any,
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
        weight_decay
            Weights of encoder and decoder decay towards zero: Adam's ``weight_decay``.
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
            Show ELBO, components in use, the clusters that they make, and time left, on stderr: a bar on a terminal, elsewhere
            a line every ten seconds and at the end.
        watchers
            A list of objects that are called after every step and epoch, such as
            :class:`~pyro_vmm.training.CheckpointWriter`.
        resume
            A checkpoint folder of an earlier call with the same data and options, to go on from.
        **theirs
            Further arguments of scvi-tools, such as ``plan_kwargs``, each taken or refused as the documentation's table of
            them says.

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
        given = {
            name: value for name, value in locals().items() if name not in ("self", "watchers", "resume", "theirs")
        }
        given |= in_our_words("train", theirs, given_otherwise(given), to_steps=self._steps_of(given))
        modality = replace(self.modality, options={**self.modality.options, **options_of_training(given)})

        def take(fit: Fit) -> None:
            if self.fit_ is not None:
                # The modules that the user has stay the same objects.
                fit = in_modules_of(self.fit_, fit)
            if resume is None and self.fit_ is not None:
                fit.history = continued(self.fit_.history, fit.history)
            self.fit_, self.modality = fit, modality

        with options_called(IN_ITS_WORDS):
            train(
                modality,
                self.encoding.observations(self.cells),
                take,
                earlier=self.fit_,
                rows_sha256=self.cells.names_sha256,
                watchers=watchers,
                resume=resume,
                advice="Call train again to continue the training.",
            )

    def _steps_of(self, given: Mapping[str, Any]) -> Callable[[int, Mapping[str, Any]], int]:
        """From epochs to steps, with the options given and others that take their place."""

        def steps(epochs: int, others: Mapping[str, Any]) -> int:
            both = {**given, **others}
            options = options_of_training({name: both[name] for name in ("train_size", "batch_size")})
            held_out = round(options.get("validation_fraction", 0.1) * len(self.cells.cell_names))
            return epochs * num_minibatches(len(self.cells.cell_names) - held_out, options["batch_size"])

        return steps
