"""The facade for arrays, in scikit-learn's manners."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin
from sklearn.utils.validation import validate_data
from torch import Tensor, nn

from pyro_vmm.answers import AnswersOfArrays
from pyro_vmm.clustering import Merging, check_merging
from pyro_vmm.data import validate_array
from pyro_vmm.data.arrays import check_is_table, without_values
from pyro_vmm.data.stored_arrays import stored_array
from pyro_vmm.errors import UserError
from pyro_vmm.fit import Fit
from pyro_vmm.fit.fitting import train
from pyro_vmm.fit.storage import load
from pyro_vmm.likelihoods import Likelihood
from pyro_vmm.modalities.arrays import Arrays
from pyro_vmm.observations import Observations
from pyro_vmm.option_checks import as_folder, check_names
from pyro_vmm.options import checked
from pyro_vmm.priors import PRIOR_WEIGHT, Prior
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.training import Watcher

FEATURES = frozenset({"n_features_in_", "feature_names_in_"})
"""What scikit-learn's check of the observations notes."""


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
        ``"contact"``: components are one cluster that touch as the parts of one population do: of the nearest neighbours of
        the smaller one's observations at least three tenths as many lie in the other as where a plane cuts a Gaussian in two (a
        fifth where one Gaussian describes both better than two), and the density does not fall and rise again between them. See
        :func:`pyro_vmm.clustering.merge_tree`. ``"valleys"``: components are one cluster that one Gaussian describes better,
        unless the density falls and rises again between them. ``"misclassification"`` first joins those of which the mixture
        takes more than one in twenty observations for another's, then the same: for groups that are no Gaussians and well
        apart, as images are; groups that overlap become one. ``"evidence"`` does not look for valleys. ``"none"`` keeps every
        component in use a cluster of its own.
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
    weight_decay
        Weights of encoder and decoder decay towards zero: Adam's ``weight_decay``.
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

    modality_class: ClassVar[type[Arrays]] = Arrays
    """What reads the observations and builds the model."""

    def __init__(
        self,
        latent_dim: int = 10,
        num_components: int = 100,
        prior: str | Prior = "vamp-mixture",
        prior_inference: str = "map-dp",
        weights: str = "stick-breaking",
        prior_weight: float = PRIOR_WEIGHT,
        responsibility_gradient: str = "stopped",
        centre_uncertainty: str = "none",
        merging: Merging = "contact",
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
        weight_decay: float = 0.0,
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
        self.weight_decay = weight_decay
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
            Observations: array, data frame, sparse matrix or tensor; a memory map or an array of Zarr stays on disk.
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
        modality, observations, noted = self._learn(X)

        def take(fit: Fit) -> None:
            for name in FEATURES.intersection(vars(self)):
                delattr(self, name)
            self.__dict__.update(noted)
            self.fit_ = fit

        advice = "Call fit again for a whole fit."
        train(modality, observations, take, watchers=watchers, resume=resume, advice=advice)
        return self

    def fit_predict(self, X: ArrayLike, y: Any = None, **kwargs: Any) -> NDArray[np.int64]:
        """Fit, and return ``labels_``."""
        return self.fit(X, y, **kwargs).labels_

    @classmethod
    @usual_settings()
    def load(cls, directory: str | Path, **objects: Any) -> VMM:
        """Read what :meth:`save` wrote; ``objects`` gives again what cannot be stored (modules of one's own), by name."""
        check_names(objects, cls._get_param_names(), "VMM")
        fit = load(as_folder(directory), objects, Arrays.name)
        return cls._of(fit)

    @classmethod
    def _of(cls, fit: Fit) -> VMM:
        """The face of a fit of arrays."""
        vmm, modality = (
            cls(**{name: fit.options[name] for name in cls._get_param_names() if name in fit.options}),
            fit.modality,
        )
        assert isinstance(modality, Arrays)
        vmm.fit_, vmm.n_features_in_ = fit, modality.num_features
        if modality.names is not None:
            vmm.feature_names_in_ = np.asarray(modality.names, dtype=object)
        return vmm

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

    def _learn(self, X: Any) -> tuple[Arrays, Observations, dict[str, Any]]:
        """What the observations teach, these themselves, and what scikit-learn's check notes of their features."""
        options = self._checked_options()
        check_merging(self.merging, self.evidence_weight)
        # Noted in the estimator itself only once the fit is whole.
        another = copy.copy(self)
        for name in FEATURES.intersection(vars(another)):
            delattr(another, name)
        with usual_settings():
            x = another._as_scikit_learn_checks(X, fitting=True)
            noted = {name: vars(another)[name] for name in FEATURES.intersection(vars(another))}
            return *self.modality_class.learn(x, options, noted.get("feature_names_in_")), noted

    def _checked_options(self) -> dict[str, Any]:
        """All options; numbers of NumPy and torch among them become Python's, equal to them, as they are stored."""
        # A subclass may have other parameters than these.
        options = checked({entry.name: getattr(self, entry.name) for entry in Arrays.entries()}, Arrays.entries())
        for name, value in options.items():
            setattr(self, name, value)
        return options

    @usual_settings()
    def _as_scikit_learn_checks(self, X: Any, *, fitting: bool = False) -> Any:
        """``X`` after scikit-learn's own check, which has its wording of shapes and types and looks after feature names."""
        if (stored := stored_array(X)) is not None:  # which the check would read into memory
            if fitting:
                self.n_features_in_ = stored.shape[1]
            return stored
        minimum, dtype = (2, None) if fitting else (1, self._modality.read_as)
        check_is_table(X)
        if isinstance(X, Tensor | np.ma.MaskedArray):
            X = validate_array(X, minimum_observations=minimum, dtype=dtype)  # scikit-learn would drop the mask
        table = isinstance(X, pd.DataFrame)
        if table:
            validate_array(X, minimum_observations=minimum, dtype=dtype)  # names the columns at fault
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
        return X if table else checked
