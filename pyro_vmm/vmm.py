"""The facade for arrays, in scikit-learn's manners."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from pyro.infer import TraceMeanField_ELBO
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from pyro_vmm import persistence
from pyro_vmm.answers import AnswersOfArrays
from pyro_vmm.assembly import NUM_COMPONENTS, Assembly, enough_components
from pyro_vmm.clustering import (
    Clusters,
    Merging,
    check_merging,
)
from pyro_vmm.data import check_range, validate_array
from pyro_vmm.data.arrays import check_is_table, without_values
from pyro_vmm.data.standardization import FAR_OUTLIERS, moments, warn_of_merged_values
from pyro_vmm.data.supports import check_whole_numbers
from pyro_vmm.devices import choose_device, resident
from pyro_vmm.diagnosis import Diagnosis, Stability
from pyro_vmm.diagnosis.arrays import diagnose_arrays
from pyro_vmm.diagnosis.refits import refit_arrays
from pyro_vmm.errors import Option, OptionWarning, UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer import EmpiricalBayesSVI, LinearWarmup, named_schedule
from pyro_vmm.likelihoods import Likelihood
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks.low_precision import lower_precision, warn_where_it_is_slow
from pyro_vmm.observations import InMemory
from pyro_vmm.option_checks import (
    as_folder,
    check_boolean,
    check_names,
    check_positive,
    check_whole_number,
    is_number,
    plain_options,
)
from pyro_vmm.plain_values import plain
from pyro_vmm.priors import PRIOR_WEIGHT, Prior
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.process_settings import undisturbed, usual_settings
from pyro_vmm.random_numbers import OwnRandomNumbers
from pyro_vmm.random_states import check_state, draw_seed
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

SEQUENCES = ("hidden", "image_shape", "pseudo_input_domain")
"""Options that are tuples; lists are taken, too."""


class VMM(AnswersOfArrays, ClassNamePrefixFeaturesOutMixin, ClusterMixin, BaseEstimator):
    """VampPrior mixture model: an embedding and the clusters in it, their number found rather than given.

    Parameters
    ----------
    latent_dim
        Dimensions ``D`` of the embedding.
    num_components
        Truncation ``K`` of the mixture: an upper bound on the number of clusters. The default is lowered, with a warning,
        to the number of observations trained on where there are fewer.
    prior
        ``"vamp-mixture"``, ``"gaussian-mixture"``, ``"vamp-prior"``, ``"standard-normal"`` or a
        :class:`~pyro_vmm.priors.Prior` (used as it is; it must not share parameters with another model).
    prior_inference
        ``"map-dp"``, ``"map"`` or ``"mle"``.
    weights
        ``"stick-breaking"`` or ``"dirichlet"``.
    prior_weight
        ``M``: a component survives when it expects about one member in ``M`` observations. Larger is finer.
    responsibility_gradient
        ``"stopped"`` or ``"differentiated"``.
    centre_uncertainty
        ``"none"``: centres are the encoder's means of the pseudo-inputs. ``"expected"`` (the paper's) and ``"integrated"`` take
        account of its scales, too; see :class:`~pyro_vmm.priors.VampMixture` for what the first does to clusters.
    merging
        ``"valleys"``: components whose observations are better described as one Gaussian of the latent space than as two are one
        cluster, unless the density falls and rises again between them. The pair that gains most marginal likelihood
        (Gaussians integrated out; see :func:`pyro_vmm.clustering.merge_tree`) is joined, again and again, while there is a
        gain. ``"misclassification"`` first joins those of which the mixture takes more than one in twenty observations for
        another's: for groups that are no Gaussians and well apart, as images are; groups that overlap become one.
        ``"evidence"`` does not look for valleys. ``"none"`` keeps every component in use a cluster of its own.
    evidence_weight
        Upper limit on the effective sample size in the merge test; larger gives more clusters. None for no limit with
        ``merging="misclassification"``, otherwise for 200 per latent dimension, at least 2,000.
    likelihood, likelihood_options
        ``"bernoulli"``, ``"continuous-bernoulli"``, ``"normal"``, ``"student-t"``; for raw counts ``"poisson"``, ``"nb"``
        (negative binomial) or ``"zinb"`` (the same, zero-inflated); or a :class:`~pyro_vmm.likelihoods.Likelihood`.
        Options are keywords of the class of that name in :mod:`pyro_vmm.likelihoods`. Counts enter the encoder as
        ``log(1 + x)``.
    covariance
        Posterior covariance, ``"full"`` or ``"diagonal"``.
    encoder, decoder
        ``"mlp"``, ``"conv"`` (needs ``image_shape``) or a torch module; see :class:`~pyro_vmm.guides.AmortizedNormal`.
    hidden
        Widths of the encoder's hidden layers, mirrored in the decoder. By default 500-500-2000 for 256 features or
        more, else 256-256.
    image_shape
        ``(height, width)`` of observations that are images.
    pseudo_input_domain
        ``"free"``, ``"positive"``, ``(low, high)``, or ``"auto"``: positive for counts, free otherwise.
    standardize
        Shift and scale every feature to mean 0 and standard deviation 1 first, in float64 (for tables whose columns have
        units of their own or values far from zero; not for counts). Samples and decoded centres come back in the data's
        units; likelihoods are of the standardised data.
    learning_rate, prior_learning_rate
        Adam's, for the ELBO step and for the empirical-Bayes step (0.3 times the first when ``None``; in trainings of a few
        hundred steps the prior has to learn as fast as the networks).
    batch_size, max_epochs
        Minibatch size; last epoch (``None``: enough for 5,000 steps, at least 40, of more than 200,000 observations fewer, 8
        million observations in all, and at most 400).
    patience
        Epochs without a rise of the validation ELBO after which training stops; ``None`` trains to the last epoch. The
        best state is restored either way.
    validation_fraction
        Share of the observations held out for the validation ELBO; 0 for none.
    kl_warmup_steps
        Steps over which the KL term rises from 0 to full weight.
    prior_rest_steps
        Steps at first in which the prior is not updated, so that no component is lost before there is an embedding.
    standard_normal_steps
        Steps at first in which encoder and decoder are trained under ``Normal(0, I)``, while the prior is fitted to their
        latents; the mixture takes over then, its components having started at a third of that normal's width (unless the
        prior is an object of your own). See :class:`~pyro_vmm.infer.EmpiricalBayesSVI`.
    weight_rate
        Learning rate of the mixture weights as a multiple of the prior's. Above 1, duplicated components die sooner.
    learning_rate_schedule
        ``"constant"``, or ``"cosine"``: both learning rates fall to zero over the steps of ``max_epochs``.
    low_precision
        Multiply in bfloat16 in the wide layers of encoder and decoder: faster on GPUs and on processors that can, several times as
        slow on others, of which a warning tells.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    random_state
        One seed for everything, or a generator of NumPy's to draw it from (which is not stored). The same seed, data,
        versions and thread count give the same numbers on a CPU.
    verbose
        Show a progress bar.

    Attributes
    ----------
    labels_
        Cluster of each training observation, ``[N]``; 0 is the largest cluster, and numbers have no gaps.
    n_clusters_
        Clusters in use.
    history_
        ``pandas.DataFrame``, a row an epoch: ``elbo``, the two terms whose difference it is, ``reconstruction`` and ``kl``
        (as weighted in that epoch), the same of the held-out observations with ``validation_`` before, and
        ``empirical_bayes_loss``. ``components_in_use`` are counted on the same 1,000 training observations every epoch.
        ``clusters_in_use`` are what they make on those when they are joined, counted after epochs that are 1,000
        or more steps apart, and at the end; NaN otherwise. On all observations there may be a few more.
    validation_rows_
        Row numbers held out for the validation ELBO, ``[V]`` in increasing order; None where version 0.1 stored the
        model. They chose the state that was kept, so of truly new data expect a little worse.
    model_, guide_
        The fitted :class:`~pyro_vmm.models.LatentMixtureModel` and :class:`~pyro_vmm.guides.AmortizedNormal`.
    clusters_
        The :class:`~pyro_vmm.clustering.Clusters`: which components are one cluster, and how clusters are numbered.
    component_order_
        ``component_order_[c]`` is the prior's component that column ``c`` of :meth:`predict_proba` is shown by, in
        :meth:`pseudo_inputs`, :meth:`decoded_centres` and pictures: of a cluster of several components, the heaviest.
    weights_
        Mixture weight of each column, ``[K]``; a cluster of several components has their sum.
    merge_tree_
        The :class:`~pyro_vmm.clustering.MergeTree` of the training data: how the clusters would go on joining.
    stability_
        What :meth:`stability` found; None before.
    feature_mean_, feature_scale_
        What ``standardize`` subtracts and divides by, ``[F]`` each (0 and 1 without it). They are float64 where float32
        is too coarse for the values of a feature; samples and decoded centres are then, too.
    interrupted_
        Whether Ctrl-C ended the training; what was learned until then is kept. Absent after :meth:`load`.
    n_iter_, n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

    References
    ----------
    A. Stirn and D. Knowles, "The VampPrior Mixture Model", arXiv 2402.04412.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().data / 16
    >>> vmm = VMM(likelihood_options={"pixels_per_feature": 16}, random_state=0).fit(x)     # doctest: +SKIP
    >>> vmm.predict_proba(x).shape                                                           # doctest: +SKIP
    (1797, 100)
    """

    def __init__(
        self,
        latent_dim: int = 10,
        num_components: int = NUM_COMPONENTS,
        prior: str | Prior = "vamp-mixture",
        prior_inference: str = "map-dp",
        weights: str = "stick-breaking",
        prior_weight: float = PRIOR_WEIGHT,
        responsibility_gradient: str = "stopped",
        centre_uncertainty: str = "none",
        merging: Merging = "valleys",
        evidence_weight: float | None = None,
        likelihood: str | Likelihood = "bernoulli",
        likelihood_options: dict[str, Any] | None = None,
        covariance: Literal["full", "diagonal"] = "full",
        encoder: str | nn.Module = "mlp",
        decoder: str | nn.Module = "mlp",
        hidden: Sequence[int] | None = None,
        image_shape: Sequence[int] | None = None,
        pseudo_input_domain: str | tuple[float, float] = "auto",
        standardize: bool = False,
        learning_rate: float = 5e-4,
        prior_learning_rate: float | None = None,
        batch_size: int = 256,
        max_epochs: int | None = None,
        patience: int | None = 30,
        validation_fraction: float = 0.1,
        kl_warmup_steps: int = 0,
        prior_rest_steps: int = 0,
        standard_normal_steps: int = 0,
        weight_rate: float = 1.0,
        learning_rate_schedule: str = "constant",
        low_precision: bool = False,
        device: str | torch.device = "auto",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.latent_dim = latent_dim
        self.num_components = num_components
        self.prior = prior
        self.prior_inference = prior_inference
        self.weights = weights
        self.prior_weight = prior_weight
        self.responsibility_gradient = responsibility_gradient
        self.centre_uncertainty = centre_uncertainty
        self.merging = merging
        self.evidence_weight = evidence_weight
        self.likelihood = likelihood
        self.likelihood_options = likelihood_options
        self.covariance = covariance
        self.encoder = encoder
        self.decoder = decoder
        self.hidden = hidden
        self.image_shape = image_shape
        self.pseudo_input_domain = pseudo_input_domain
        self.standardize = standardize
        self.learning_rate = learning_rate
        self.prior_learning_rate = prior_learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.kl_warmup_steps = kl_warmup_steps
        self.prior_rest_steps = prior_rest_steps
        self.standard_normal_steps = standard_normal_steps
        self.weight_rate = weight_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.low_precision = low_precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # ---- fitting -----------------------------------------------------------------------------------------------------

    def fit(
        self, X: ArrayLike, y: Any = None, *, watchers: Sequence[Watcher] = (), resume: str | Path | None = None
    ) -> VMM:
        """Fit to ``X [N, F]``; ``y`` is ignored.

        Parameters
        ----------
        X
            Observations: array, data frame, sparse matrix or tensor.
        y
            Ignored.
        watchers
            A list of objects that are called after every step and epoch, such as
            :class:`~pyro_vmm.training.CheckpointWriter`.
        resume
            A checkpoint folder of an earlier fit of the same data with the same options, to go on from.

        Raises
        ------
        UserError
            For data or options that cannot be used.
        pyro_vmm.infer.NonFiniteError
            If a loss, a gradient or a running statistic ceases to be finite.
        KeyboardInterrupt
            For a second Ctrl-C, and for one before the first step is made. Also for one after the last step; the fit is
            kept then.

        Warns
        -----
        pyro_vmm.training.InterruptedWarning
            If Ctrl-C ended the training: what was learned is kept (the state that was best on the held-out observations), and
            the fit can be used.

        Notes
        -----
        An earlier fit is replaced when this one is whole. An error leaves it as it was.
        """
        self._make_options_plain()
        # Half a fit would be taken for a whole one.
        fit = copy.copy(self)
        for name in fit._fitted_names():
            delattr(fit, name)
        bars = [ProgressBar()] if self.verbose else []
        with usual_settings():
            trainer, x = fit._fit(X, (*bars, *checked_watchers(watchers)), resume)
            with trainer.kept_whole():
                fit._note(trainer, x)
                with PROCESS_LOCK:
                    self.__dict__.update({name: vars(fit)[name] for name in fit._fitted_names()})
                    for name in set(self._fitted_names()) - set(fit._fitted_names()):
                        delattr(self, name)
        if trainer.progress.finished or trainer.interrupted:
            for bar in bars:
                bar.tell_clusters(self.n_clusters_)
        if trainer.interrupted:
            warnings.warn(f"{trainer.what_is_kept()} Call fit again for a whole fit.", InterruptedWarning, stacklevel=2)
        return self

    def _fitted_names(self) -> list[str]:
        return [name for name in vars(self) if name.endswith("_")]

    def _fit(self, X: ArrayLike, watchers: Sequence[Watcher], resume: str | Path | None) -> tuple[Trainer, Tensor]:
        """Train model and guide; the observations ``[N, F]`` are returned with what has trained them."""
        self._check_options()
        x = self._observations(X, fitting=True)
        device = choose_device(self.device)
        if self.low_precision:
            warn_where_it_is_slow(device, stacklevel=3)
        seed = draw_seed(self.random_state)
        training, validation = split_rows(len(x), self.validation_fraction, seed)
        # The caller's own stream of random numbers is left where it was.
        numbers = OwnRandomNumbers(seed, device)
        with numbers:
            self.model_, self.guide_ = self._build(x[training])
        if self.standard_normal_steps and isinstance(self.prior, str):
            make_ready_for_standard_normal(self.model_.prior)
        self.model_.to(device)
        self.guide_.to(device)
        total_steps = self._max_epochs(len(training)) * num_minibatches(len(training), self.batch_size)
        svi = self._svi(total_steps)
        if svi.settled_at >= total_steps:
            too_short = OptionWarning(
                f"Training ends after {total_steps:,} steps, and ",
                Option("kl_warmup_steps"),
                ", ",
                Option("prior_rest_steps"),
                " or ",
                Option("standard_normal_steps"),
                f" last for {svi.settled_at:,}: raise ",
                Option("max_epochs"),
                ", or lower these (0 for none).",
            )
            warnings.warn(too_short, stacklevel=3)
        trainer = Trainer(
            svi,
            InMemory(resident(x[training], device)),
            InMemory(resident(x[validation], device)) if len(validation) else None,
            batch_size=int(self.batch_size),
            max_epochs=self._max_epochs(len(training)),
            early_stopping=EarlyStopping(self.patience),
            row_numbers=training,
            seed=seed,
            number_of_clusters=self._number_of_clusters,
            random_numbers=numbers,
            options=persistence.storable_options(self),
            watchers=watchers,
        )
        if resume is not None:
            resume_training(trainer, as_folder(resume, "resume"))
        self.validation_rows_: NDArray[np.int64] | None = validation
        trainer.run()
        return trainer, x

    def _note(self, trainer: Trainer, x: Tensor) -> None:
        """What is asked of a trained fit: its history, and the clusters of ``x [N, F]``."""
        history = trainer.history_so_far()
        self.trainer_finished_, self.interrupted_ = trainer.progress.finished, trainer.interrupted
        self.stability_: Stability | None = None
        self.history_ = pd.DataFrame(history, columns=list(COLUMNS))
        self.n_iter_ = len(history)
        self._number_components(x)

    def _make_options_plain(self) -> None:
        """NumPy's and torch's numbers among the options become Python's, equal to them: they are stored as JSON."""
        for name, value in plain_options(self.get_params(deep=False)).items():
            setattr(self, name, tuple(value) if name in SEQUENCES and isinstance(value, list) else value)

    def _check_options(self) -> None:
        """Those that are no part of the model, which looks after its own."""
        for name, meaning in (("max_epochs", "for enough"), ("patience", "to train to the last epoch")):
            check_whole_number(getattr(self, name), name, or_none=meaning)
        check_whole_number(self.batch_size, "batch_size")
        for name in ("kl_warmup_steps", "prior_rest_steps", "standard_normal_steps"):
            check_whole_number(getattr(self, name), name, least=0)
        check_positive(self.weight_rate, "weight_rate", "multiple of the prior's learning rate")
        check_positive(self.learning_rate, "learning_rate", "learning rate")
        if self.prior_learning_rate is not None:
            check_positive(self.prior_learning_rate, "prior_learning_rate", "learning rate")
        if not is_number(self.validation_fraction) or not 0.0 <= self.validation_fraction < 1.0:
            raise UserError(f"validation_fraction is {self.validation_fraction!r}: it must be at least 0 and below 1.")
        check_state(self.random_state)
        check_merging(self.merging, self.evidence_weight)
        for name in ("standardize", "low_precision"):
            check_boolean(getattr(self, name), name)

    def _max_epochs(self, num_observations: int) -> int:
        if self.max_epochs is not None:
            return self.max_epochs
        return default_epochs(num_observations, self.batch_size, least=40, most=400)

    def _build(self, x: Tensor) -> tuple[LatentMixtureModel, AmortizedNormal]:
        """Model and guide that are about to be fitted to ``x [N, F]``."""
        number = enough_components(self.num_components, self.prior, len(x), "observations", stacklevel=4)
        return self._assembled(Assembly(x.shape[1], **self._assembly_options() | {"num_components": number}), x)

    def _build_anew(self, num_features: int, num_components: int) -> tuple[LatentMixtureModel, AmortizedNormal]:
        """Model and guide that are about to be given stored weights."""
        return self._assembled(
            Assembly(num_features, **self._assembly_options() | {"num_components": num_components}), None
        )

    def _assembled(self, assembly: Assembly, x: Tensor | None) -> tuple[LatentMixtureModel, AmortizedNormal]:
        model, guide = replace(assembly, **persistence.with_copies(vars(assembly))).build(x)
        if self.low_precision:
            lower_precision(guide.encoder, spare_the_last=True)
            lower_precision(model.decoder)
        return model, guide

    def _svi(self, total_steps: int = 1) -> EmpiricalBayesSVI:
        return EmpiricalBayesSVI(
            self.model_,
            self.guide_,
            optim=self.learning_rate,
            prior_optim=self.prior_learning_rate,
            loss=TraceMeanField_ELBO(),
            kl_schedule=LinearWarmup(self.kl_warmup_steps) if self.kl_warmup_steps else None,
            learning_rate_schedule=named_schedule(self.learning_rate_schedule, total_steps),
            prior_rest_steps=self.prior_rest_steps,
            standard_normal_steps=self.standard_normal_steps,
            weight_rate=self.weight_rate,
        )

    def _number_of_clusters(
        self, responsibilities: NDArray[np.float64], latents: NDArray[np.float32], weights: NDArray[np.float64]
    ) -> int:
        return Clusters.of(responsibilities, latents, weights, self.merging, self.evidence_weight).number

    def _number_components(self, x: Tensor) -> None:
        """Number components by how many observations they own, so that clusters are 0, 1, ... without gaps."""
        latents = self._evaluation.posterior_mean(x)
        responsibilities = self._evaluation.responsibilities_at(latents)
        self.clusters_ = Clusters.of(
            responsibilities,
            latents,
            self._prior_weights,
            self.merging,
            self.evidence_weight,
        )
        self.labels_ = self.clusters_.arrange(responsibilities).argmax(1)

    def fit_predict(self, X: ArrayLike, y: Any = None, **kwargs: Any) -> NDArray[np.int64]:
        """Fit, and return ``labels_``."""
        return self.fit(X, y, **kwargs).labels_

    @undisturbed()
    def rejoin(self, X: ArrayLike, *, merging: Merging | None = None, evidence_weight: float | None = None) -> VMM:
        """Decide anew which components are one cluster, without a refit; clusters get other numbers.

        Replaces ``labels_`` and ``clusters_``, and forgets what :meth:`stability` found of the earlier clusters.

        Parameters
        ----------
        X
            The observations fitted, ``[N, F]``, or others of their kind; ``labels_`` are theirs then.
        merging, evidence_weight
            As at the start. Without ``merging``, None leaves either as it is; a rule that is given comes with the weight that
            is given with it, or its own.

        Returns
        -------
        VMM
            Itself.

        Raises
        ------
        UserError
            For a rule that does not exist, a weight that is not positive, or observations that cannot be read.
        """
        x = self._observations(X)
        evidence_weight = plain(evidence_weight)
        if merging is None:
            merging = self.merging
            evidence_weight = self.evidence_weight if evidence_weight is None else evidence_weight
        check_merging(merging, evidence_weight)
        self.merging, self.evidence_weight = merging, evidence_weight
        self._number_components(x)
        self.stability_ = None
        return self

    # ---- whether it went well ----------------------------------------------------------------------------------------

    @undisturbed()
    def diagnose(self, X: Any = None) -> Diagnosis:
        """Say in words whether the fit went well, in some seconds; ``print`` it.

        Clusters and history are looked at always; posteriors, reconstruction and guide on at most 3,000 observations of
        ``X``, drawn at random; agreement between seeds after :meth:`stability`.

        Parameters
        ----------
        X
            Observations ``[N, F]``: those fitted, or better, others of their kind.

        Raises
        ------
        UserError
            For observations that cannot be read, or fewer than ten.
        """
        check_is_fitted(self)
        return diagnose_arrays(self, X)

    @usual_settings()
    def stability(self, X: ArrayLike, num_seeds: int = 5) -> Stability:
        """Fit again with other seeds and compare the clusters of ``X``; takes as long as ``num_seeds - 1`` fits.

        Parameters
        ----------
        X
            The observations fitted, ``[N, F]``.
        num_seeds
            Runs in all, this fit the first of them.

        Raises
        ------
        UserError
            If ``num_seeds`` is below 2, and as :meth:`fit`.
        """
        check_is_fitted(self)
        found = refit_arrays(self, X, num_seeds)
        self.stability_ = found
        return found

    # ---- storing -----------------------------------------------------------------------------------------------------

    @undisturbed()
    def save(self, directory: str | Path, *, overwrite: bool = False) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder.

        Parameters
        ----------
        directory
            Made if absent.
        overwrite
            Replace the model that the folder holds, if it holds one.

        Raises
        ------
        UserError
            If the folder holds a model and ``overwrite`` is False, or cannot be written.
        """
        check_is_fitted(self)
        folder = as_folder(directory)
        if not check_boolean(overwrite, "overwrite"):
            persistence.refuse_to_overwrite(folder)
        persistence.save(self, folder)

    @classmethod
    @usual_settings()
    def load(cls, directory: str | Path, **objects: Any) -> VMM:
        """Read what :meth:`save` wrote; ``objects`` gives again what cannot be stored (modules of one's own), by name."""
        check_names(objects, cls._get_param_names(), "VMM")
        return persistence.load(cls, as_folder(directory), objects)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a model: checked data alone leave attributes behind."""
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        """Sparse input is taken (and densified); the embedding is float32 whatever comes in."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # ---- inside ------------------------------------------------------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return self.latent_dim

    @usual_settings()
    def _observations(self, X: Any, *, fitting: bool = False) -> Tensor:
        if not fitting:
            check_is_fitted(self)
        minimum = 2 if fitting else 1
        # None: float64 where float32 would make close values equal, so that they are centred before they are rounded.
        dtype = self.feature_mean_.dtype.type if self.standardize and not fitting else None
        check_is_table(X)
        if isinstance(X, Tensor | np.ma.MaskedArray):
            X = validate_array(X, minimum_observations=minimum, dtype=dtype)  # scikit-learn would drop the mask
        table = isinstance(X, pd.DataFrame)
        if table:
            validate_array(X, minimum_observations=minimum, dtype=dtype)  # names the columns at fault
        # scikit-learn's own check has its wording of shapes and types, and looks after feature names.
        try:
            with PROCESS_LOCK:  # it changes the filters of warnings
                checked = validate_data(
                    self,
                    X,
                    reset=fitting,
                    dtype="numeric",
                    accept_sparse=True,
                    ensure_all_finite=False,
                    ensure_min_samples=minimum,
                )
        except ValueError as error:
            raise UserError(without_values(str(error))) from None
        x = validate_array(X if table else checked, minimum_observations=minimum, dtype=dtype)
        likelihood = self.model_.likelihood if not fitting else self._likelihood(x.shape[1])
        likelihood_name = self.likelihood if isinstance(self.likelihood, str) else type(likelihood).__name__
        if self.standardize and (likelihood.whole_numbers or likelihood.encoder_sees == "log1p"):
            raise UserError(
                "standardize=True would turn counts into fractions, but ",
                Option("likelihood", likelihood_name),
                " is for counts: leave it False.",
            )
        if fitting:
            features = x.shape[1]
            self.feature_mean_, self.feature_scale_ = (
                moments(x) if self.standardize else (np.zeros(features, np.float32), np.ones(features, np.float32))
            )
        names = getattr(self, "feature_names_in_", None)
        if self.standardize:
            standardized = (x.astype(np.float64, copy=False) - self.feature_mean_) / self.feature_scale_
            if x.dtype == np.float64:
                warn_of_merged_values(standardized, names, FAR_OUTLIERS, stacklevel=4)
            x = standardized.astype(np.float32)
        elif x.dtype == np.float64:
            given, x = x, validate_array(x, minimum_observations=minimum)
            warn_of_merged_values(given, names, _centred(likelihood), stacklevel=4)
        check_range(x, *likelihood.data_range, likelihood_name=likelihood_name, whole_numbers=likelihood.whole_numbers)
        if likelihood.whole_numbers:
            check_whole_numbers(x, likelihood_name)
        # torch warns of memory that it must not write to, though nothing here would.
        return torch.from_numpy(x if x.flags.writeable else x.copy())

    def _assembly_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in Assembly.__dataclass_fields__ if name != "num_features"}

    def _likelihood(self, num_features: int) -> Likelihood:
        return Assembly(num_features, **self._assembly_options()).make_likelihood()


def _centred(likelihood: Likelihood) -> str:
    """What to do about values that float32 makes equal."""
    if likelihood.data_range == (-np.inf, np.inf):
        return "subtract the column's mean first, as standardize=True does"
    return "rescale the column"
