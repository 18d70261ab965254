"""The generative story, as one Pyro model."""

from typing import Literal

import pyro
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from pyro.params.param_store import normalize_param_name
from pyro.poutine.replay_messenger import ReplayMessenger
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor, nn

from pyro_vmm.distributions import GaussianMixture
from pyro_vmm.errors import UserError
from pyro_vmm.likelihoods import Likelihood, make_likelihood
from pyro_vmm.local_module import LocalPyroModule, with_own_parameters
from pyro_vmm.priors import MixturePrior, Prior
from pyro_vmm.priors.encoded_centres import check_parameters_of_guide
from pyro_vmm.priors.mixture import Centres
from pyro_vmm.shapes import Float, Real

Assignments = Literal["sampled", "summed"]


class LatentMixtureModel(LocalPyroModule):
    r"""A deep latent variable model whose prior is, by default, a Dirichlet-process Gaussian mixture.

    With a mixture prior the story is (section 1)::

        concentration  a        ~ Gamma(1, 1)
        sticks         v_k      ~ Beta(1, a)                                        k = 1 .. K-1
        weights        pi_k     = v_k prod_{j<k} (1 - v_j)                          pi_K takes the rest
        centres        mu_k     ~ Normal(0, I_D)                                    k = 1 .. K
        precisions     Lambda_k ~ Wishart(D + 2, K^(2/D) / (D + 2) I_D)
        assignment     c_n      ~ Categorical(pi)                                   n = 1 .. N
        z              z_n      ~ Normal(mu_{c_n}, Lambda_{c_n}^-1)
        x              x_n      ~ likelihood(decoder(z_n))

    The words on the left are the names of the sample sites; the plates are ``breaks``, ``components`` and
    ``observations``. There are three readings of the story, which differ in what of the prior is random:

    * ``model(x)``: concentration, weights, centres and precisions are sites, for ``NUTS``, AutoGuides and prior draws.
    * ``model(x, centres="encoded")``: the prior's own centres stand in for ``mu_k``; the others are sites.
    * ``model.fitted(x)``: all of them are the prior's own, for the ELBO; the sites are ``z`` and ``x``.

    A VampPrior's centres are the encoder's means at the pseudo-inputs, ``m(u_k)``. They do not enter :meth:`forward` by
    itself, whose centres are drawn from their hyper-prior: it is the model before any fit, and knows the VampPrior's
    parameters only by :meth:`Prior.site_values`. With ``centres="encoded"`` they stand in for ``mu_k``: the site ``centres`` is
    observed at them, so that its density is the hyper-prior's. In :meth:`fitted` weights and precisions are the prior's present
    parameters, too, and ``z`` comes from the density that the ELBO uses (section 3), the centres integrated out where they are
    uncertain. The hyper-priors are no part of it: :class:`~pyro_vmm.infer.EmpiricalBayesSVI` fits the prior under them in a
    step of its own.

    With ``assignments="summed"`` no site is discrete, as ``NUTS`` and AutoGuides need it. Plates around the story, such as
    those of ``Predictive(parallel=True)`` and of vectorised particles, are put before the story's own: give a plate of your
    own ``dim=-2`` or less.

    Parameters
    ----------
    prior
        A :class:`~pyro_vmm.priors.Prior`. Its parameters are named ``prior.*``.
    decoder
        Any module from ``z [..., D]`` (and keyword covariates) to ``[..., likelihood.outputs_per_feature * F]``.
    likelihood
        A :class:`~pyro_vmm.likelihoods.Likelihood`, or the name of one (``"bernoulli"``) for its defaults.

    References
    ----------
    A. Stirn and D. Knowles, "The VampPrior Mixture Model", arXiv 2402.04412.

    Examples
    --------
    >>> pyro.render_model(model, model_kwargs={"num_observations": 5})                # doctest: +SKIP
    >>> pyro.condition(model, data=model.prior.site_values())                        # doctest: +SKIP
    >>> SVI(model.fitted, guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())        # doctest: +SKIP
    >>> MCMC(NUTS(model), num_samples=500).run(x, assignments="summed")              # doctest: +SKIP
    >>> Predictive(model, num_samples=100, parallel=True)(num_observations=5)        # doctest: +SKIP
    """

    needed_covariates: tuple[str, ...] = ()
    """Names of the covariates without which the story is not the one that was fitted."""

    def __init__(self, prior: Prior, decoder: nn.Module, likelihood: Likelihood | str) -> None:
        super().__init__()
        self.prior = prior
        self.decoder = decoder
        self.likelihood = make_likelihood(likelihood)

    def forward(
        self,
        x: Real[Tensor, "N F"] | None = None,
        *,
        num_observations: int = 1,
        assignments: Assignments = "sampled",
        centres: Centres = "drawn",
        **covariates: Real[Tensor, "N ..."],
    ) -> Real[Tensor, "*plates N F"]:
        """Tell the whole story, from the hyper-priors to the observations.

        Parameters
        ----------
        x
            Observations ``[N, F]``; drawn when absent.
        num_observations
            How many to draw when ``x`` is absent.
        assignments
            ``"sampled"``: a site ``assignment`` (enumerated in parallel by ``TraceEnum_ELBO``); ``"summed"``: no such
            site, ``z`` comes from the mixture density.
        centres
            ``"drawn"``: from ``Normal(0, I)``. ``"encoded"``: those of the prior, which a VampPrior's encoder gives at the
            pseudo-inputs (a ``GaussianMixture``'s are its parameters), as an observation of the site ``centres``.
        **covariates
            Passed to decoder and likelihood, each with ``N`` rows.

        Returns
        -------
        Tensor
            ``[N, F]``; drawn inside plates of the caller ``[..., N, F]``.

        Raises
        ------
        UserError
            For an unknown option, or ``centres="encoded"`` with a prior that has no site ``centres``.
        """
        if centres not in ("drawn", "encoded"):
            raise UserError(f"centres={centres!r} is not known: choose 'drawn' or 'encoded'.")
        if centres == "drawn":
            return self._observe(self.prior.declare(), x, num_observations, assignments, covariates)
        if not isinstance(self.prior, MixturePrior):
            raise UserError(
                f"centres='encoded' needs a prior whose story draws centres, but {type(self.prior).__name__} draws none: leave "
                "centres out."
            )
        _check_replayed_guide(self.prior)
        return self._observe(self.prior.declare(centres), x, num_observations, assignments, covariates)

    @with_own_parameters
    def fitted(
        self,
        x: Real[Tensor, "N F"] | None = None,
        *,
        num_observations: int = 1,
        assignments: Assignments = "summed",
        prior: Prior | None = None,
        **covariates: Real[Tensor, "N ..."],
    ) -> Real[Tensor, "*plates N F"]:
        """Tell the story given the prior's present parameters: sites ``z`` and ``x`` (and ``assignment``), as :meth:`forward`.

        ``prior`` stands in for the model's own. Plain ``SVI`` fits the prior's parameters, too, by the ELBO alone.
        """
        _check_replayed_guide(self.prior if prior is None else prior)
        distribution = (self.prior if prior is None else prior).distribution()
        return self._observe(distribution, x, num_observations, assignments, covariates)

    def _observe(
        self,
        prior: TorchDistributionMixin,
        x: Tensor | None,
        num_observations: int,
        assignments: Assignments,
        covariates: dict[str, Tensor],
    ) -> Tensor:
        if assignments not in ("sampled", "summed"):
            raise UserError(f"assignments={assignments!r} is not known: choose 'sampled' or 'summed'.")
        with pyro.plate("observations", num_observations if x is None else len(x), dim=-1):
            if assignments == "sampled" and isinstance(prior, GaussianMixture):
                categorical = dist.Categorical(logits=prior.log_weights)
                component = pyro.sample("assignment", categorical, infer={"enumerate": "parallel"})
                scale_tril = Vindex(prior.scale_tril)[..., component, :, :]
                prior = dist.MultivariateNormal(prior.loc_of(component), scale_tril=scale_tril)
            z = pyro.sample("z", prior)
            return pyro.sample("x", self.observation(z, **self.draw_covariates(covariates)), obs=x)

    def draw_covariates(self, covariates: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add what the story itself draws beside ``z`` (inside the plate ``observations``); nothing here."""
        return covariates

    def observation(self, z: Float[Tensor, "*batch D"], **covariates: Tensor) -> TorchDistributionMixin:
        """``p(x | z)`` for latents ``[..., D]``: batch shape ``[...]``, event shape ``(F,)``."""
        return self.likelihood(self.decoder(z, **covariates), **covariates)

    @property
    def needs_latents_alone(self) -> bool:
        """Whether ``observation(z)`` needs no covariates, given or drawn."""
        return not self.needed_covariates

    def log_likelihood(
        self, x: Real[Tensor, "B F"], z: Float[Tensor, "*draws B D"], **covariates: Real[Tensor, "B ..."]
    ) -> Float[Tensor, "*draws B"]:
        """``log p(x | z)`` of observations ``[B, F]`` at latents ``[..., B, D]``, as ``[..., B]``."""
        return self.observation(z, **covariates).log_prob(x)


def _check_replayed_guide(prior: Prior) -> None:
    """Refuse a trace of a guide that is a copy of the one that the prior follows, where Pyro replays it (``SVI``)."""
    for handler in _PYRO_STACK:
        if isinstance(handler, ReplayMessenger) and handler.trace is not None:
            sites = {name: site["value"] for name, site in handler.trace.nodes.items() if site["type"] == "param"}
            check_parameters_of_guide(prior, {normalize_param_name(name): value for name, value in sites.items()})
