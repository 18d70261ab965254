"""The generative story, as one Pyro model."""

from typing import Literal

import pyro
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.params.param_store import normalize_param_name
from pyro.poutine.replay_messenger import ReplayMessenger
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor, nn

from pyro_vmm.distributions import GaussianMixture
from pyro_vmm.errors import UserError
from pyro_vmm.likelihoods import Likelihood, make_likelihood
from pyro_vmm.local_module import LocalPyroModule, with_own_parameters
from pyro_vmm.priors import Prior
from pyro_vmm.priors.encoded_centres import check_parameters_of_guide

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
    ``observations``. :meth:`forward` tells the whole story; :meth:`fitted` tells it from ``z`` on, given the prior's
    present parameters and with the centres integrated out, which is the density that the ELBO uses (section 3).

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
        x: Tensor | None = None,
        *,
        num_observations: int = 1,
        assignments: Assignments = "sampled",
        **covariates: Tensor,
    ) -> Tensor:
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
        **covariates
            Passed to decoder and likelihood, each with ``N`` rows.

        Returns
        -------
        Tensor
            ``[N, F]``.
        """
        return self._observe(self.prior.declare(), x, num_observations, assignments, covariates)

    @with_own_parameters
    def fitted(
        self,
        x: Tensor | None = None,
        *,
        num_observations: int = 1,
        assignments: Assignments = "summed",
        prior: Prior | None = None,
        **covariates: Tensor,
    ) -> Tensor:
        """Tell the story given the prior's present parameters: sites ``z`` and ``x`` (and ``assignment``), as :meth:`forward`.

        ``prior`` stands in for the model's own.
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
                prior = dist.MultivariateNormal(prior.loc[component], scale_tril=prior.scale_tril[component])
            z = pyro.sample("z", prior)
            return pyro.sample("x", self.observation(z, **self.draw_covariates(covariates)), obs=x)

    def draw_covariates(self, covariates: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add what the story itself draws beside ``z`` (inside the plate ``observations``); nothing here."""
        return covariates

    def observation(self, z: Tensor, **covariates: Tensor) -> TorchDistributionMixin:
        """``p(x | z)`` for latents ``[..., D]``: batch shape ``[...]``, event shape ``(F,)``."""
        return self.likelihood(self.decoder(z, **covariates), **covariates)

    def log_likelihood(self, x: Tensor, z: Tensor, **covariates: Tensor) -> Tensor:
        """``log p(x | z)`` of observations ``[B, F]`` at latents ``[..., B, D]``, as ``[..., B]``."""
        return self.observation(z, **covariates).log_prob(x)


def _check_replayed_guide(prior: Prior) -> None:
    """Refuse a trace of a guide that is a copy of the one that the prior follows, where Pyro replays it (``SVI``)."""
    for handler in _PYRO_STACK:
        if isinstance(handler, ReplayMessenger) and handler.trace is not None:
            sites = {name: site["value"] for name, site in handler.trace.nodes.items() if site["type"] == "param"}
            check_parameters_of_guide(prior, {normalize_param_name(name): value for name, value in sites.items()})
