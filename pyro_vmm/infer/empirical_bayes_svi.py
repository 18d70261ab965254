"""Stochastic variational inference that alternates with empirical-Bayes steps for the prior."""

import functools
import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal, NamedTuple, TypeAlias

import torch
from pyro.infer import Trace_ELBO, TraceEnum_ELBO
from pyro.infer.elbo import ELBO
from torch import Tensor

from pyro_vmm.errors import UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer.non_finite import (
    NonFiniteError,
    NonFiniteLossError,
    RunningStatistics,
    first_non_finite,
    gradients,
    total_norm,
)
from pyro_vmm.infer.objectives import check_objective, differentiable_loss, evaluated_loss
from pyro_vmm.infer.optimizers import OptimizerChoice, make_optimizer, make_prior_optimizer, prior_choice
from pyro_vmm.infer.partition import ParameterSwitch, Partition, partition_parameters
from pyro_vmm.infer.recorded_site import RecordedSite
from pyro_vmm.infer.scaled_site import ScaleSite
from pyro_vmm.infer.schedules import Constant, Schedule
from pyro_vmm.interrupts import SecondInterrupt, interrupts_held
from pyro_vmm.models.latent_mixture import LatentMixtureModel
from pyro_vmm.networks.evaluation_mode import differs_in_evaluation, evaluation_mode
from pyro_vmm.option_checks import check_whole_number
from pyro_vmm.plain_values import plain
from pyro_vmm.priors import StandardNormal
from pyro_vmm.priors.encoded_centres import check_guide
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.process_settings import gradients_on
from pyro_vmm.shapes import Float, Real

Latents: TypeAlias = Literal["auto", "reused", "fresh"]
OBJECTIVES = {"elbo": "ELBO", "prior": "empirical-Bayes objective"}


class StepLosses(NamedTuple):
    """Losses of one training step, both per observation and both to be minimised."""

    elbo: float
    """Negative ELBO of the minibatch, before the update."""
    empirical_bayes: float
    """Empirical-Bayes objective of the minibatch, before its update; NaN where the prior has none."""


class EmpiricalBayesSVI:
    """One ELBO update of guide, decoder and likelihood, then one empirical-Bayes update of the prior (section 4).

    What plain ``SVI`` does not do. ``SVI(model.fitted, guide, optim, Trace_ELBO())`` updates every parameter, the prior's too,
    by the gradient of the ELBO alone; the hyper-priors of weights, centres and precisions play no part. Here the parameters
    are split by name, into those named ``prior.*`` and the rest (:attr:`partition` lists them), and a step is two updates of
    two objectives::

        svi.elbo_step(x)                # Trace_ELBO of model.fitted and guide; moves guide, decoder, likelihood
        z = svi.sample_latents(x)       # no gradient reaches the encoder's weights
        loss = model.prior.empirical_bayes_loss(z)     # -log p(z) under the mixture, minus hyper-priors / prior_weight
        loss.backward(); prior_optimizer.step()        # moves prior.* alone

    The same in plain Pyro, but for the checks, schedules and the reuse of ``z``::

        story = poutine.block(model.fitted, hide_fn=lambda site: site["name"].startswith("prior"))
        svi = SVI(story, guide, pyro.optim.Adam({"lr": 5e-4}), Trace_ELBO())
        prior_optimizer = torch.optim.Adam(model.prior.parameters(), lr=0.3 * 5e-4)
        for x in minibatches:
            svi.step(x)
            with torch.no_grad():
                z = guide.posterior(x).sample()
            prior_optimizer.zero_grad()
            model.prior.empirical_bayes_loss(z).backward(inputs=list(model.prior.parameters()))
            prior_optimizer.step()

    The two parameter sets never mix: each step leaves the other's parameters bitwise unchanged. A prior fitted by the ELBO
    itself (VampPrior), or by nothing, makes the second step vanish.

    Parameters
    ----------
    model
        What :class:`~pyro_vmm.models.LatentMixtureModel` offers: ``fitted``, ``prior``, ``named_parameters``.
    guide
        What :class:`~pyro_vmm.guides.AmortizedNormal` offers: a call that samples ``z``, and ``posterior``.
    optim, prior_optim
        Each a learning rate for Adam, a function from parameters to a torch optimiser, or a ``pyro.optim`` object.
        ``prior_optim`` defaults to ``optim``, where that is a learning rate to :data:`~pyro_vmm.infer.PRIOR_RATE` times
        it. Their learning rates follow ``learning_rate_schedule`` alone: a decay that an optimiser has of its own
        (``lrd`` of Pyro's ``ClippedAdam``) has no effect.
    weight_rate
        Learning rate of the mixture weights and their concentration, as a multiple of ``prior_optim``'s where that is a
        number: above 1, duplicated components die sooner, while centres and precisions keep the encoder's pace.
    loss
        A Pyro ELBO: ``Trace_ELBO``, ``TraceMeanField_ELBO`` (which takes the closed-form KL where there is one, that of the
        standard normal), ``TraceGraph_ELBO``, ``TraceEnum_ELBO`` (which sums the assignments itself) or ``RenyiELBO``.
    latents
        The latent samples of the empirical-Bayes step: ``"reused"`` takes those of the ELBO step, ``"fresh"`` encodes
        again with the updated encoder in evaluation mode, ``"auto"`` reuses unless the guide has dropout or batch
        normalisation, where the two would differ by more than one update.
    kl_schedule, learning_rate_schedule
        Multipliers, by step, of the log-densities of ``z`` in the ELBO and of both learning rates.
    standard_normal_steps
        For so many steps at first the ELBO's prior is ``Normal(0, I)``, while the empirical-Bayes step fits the model's own
        to the latents that this gives. A mixture pays for parting what need not be parted (batches that the decoder is told
        of) until its components are apart, and no more then; ``Normal(0, I)`` pays by the squared distance, however far.
    prior_rest_steps
        For so many steps at first the prior is not updated: the networks learn under the components that it begins with, and a
        component is not lost before there is an embedding to judge it by.

    Attributes
    ----------
    reconstruction
        Mean ``log p(x | z)`` in the ELBO of the last step or of the last :meth:`evaluate_loss`, in nats an observation;
        NaN where the objective does not evaluate the site ``x``. Less the ELBO it is the KL term.

    Raises
    ------
    UserError
        For unknown options, a model inside a handler, an objective of another kind, parameters that do not split, or a guide
        other than the one that encodes the prior's centres.
    """

    def __init__(
        self,
        model: LatentMixtureModel,
        guide: AmortizedNormal,
        *,
        optim: OptimizerChoice = 5e-4,
        prior_optim: OptimizerChoice | None = None,
        weight_rate: float = 1.0,
        loss: ELBO | None = None,
        latents: Latents = "auto",
        kl_schedule: Schedule | None = None,
        learning_rate_schedule: Schedule | None = None,
        standard_normal_steps: int = 0,
        prior_rest_steps: int = 0,
    ) -> None:
        standard_normal_steps = check_whole_number(standard_normal_steps, "standard_normal_steps", least=0)
        prior_rest_steps = check_whole_number(prior_rest_steps, "prior_rest_steps", least=0)
        optim, prior_optim, weight_rate = plain(optim), plain(prior_optim), plain(weight_rate)
        if latents not in ("auto", "reused", "fresh"):
            raise UserError(f"latents={latents!r} is not known: choose 'auto', 'reused' or 'fresh'.")
        _check_pair(model, guide)
        check_guide(model.prior, guide)
        self.model, self.guide = model, guide
        self.loss = Trace_ELBO() if loss is None else loss
        check_objective(self.loss)
        self.partition = partition_parameters(model, guide)
        self.optimizers = {"elbo": make_optimizer(optim, self.partition.elbo.values())}
        if self.partition.prior:
            choice = prior_choice(optim) if prior_optim is None else prior_optim
            self.optimizers["prior"], prior = make_prior_optimizer(choice, self.partition.prior, weight_rate)
            self.partition = Partition(elbo=self.partition.elbo, prior=prior)
        self.base_learning_rates = {
            name: [float(group["lr"]) for group in optimizer.param_groups]
            for name, optimizer in self.optimizers.items()
        }
        self.kl_schedule = kl_schedule or Constant()
        self.learning_rate_schedule = learning_rate_schedule or Constant()
        self.reuses_latents = not differs_in_evaluation(guide) if latents == "auto" else latents == "reused"
        self.standard_normal_steps = standard_normal_steps
        self.prior_rest_steps = prior_rest_steps
        self.steps_taken = 0
        self.last_losses: StepLosses | None = None
        self._switch = ParameterSwitch(self.partition)
        self._statistics = RunningStatistics(model, guide)
        self._latents: Tensor | None = None
        self._recorded = RecordedSite("x")
        self.reconstruction = float("nan")

    def __repr__(self) -> str:
        """Show the objective and the partition."""
        return f"{type(self).__name__}({type(self.loss).__name__}, {self.steps_taken} steps taken)\n{self.partition}"

    def step(self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]) -> StepLosses:
        """One ELBO update and one empirical-Bayes update on a minibatch ``[B, F]``.

        Other threads that train or ask a model wait for its end, and so does a first Ctrl-C. A :class:`KeyboardInterrupt`
        leaves a whole step (``steps_taken`` counts it, ``last_losses`` are its losses) or none.

        Raises
        ------
        NonFiniteError
            If a loss, a gradient or a running statistic is NaN or infinite, or a matrix cannot be factorised. That update
            has then not been made, and running statistics are as before it; an ELBO update before it stays.
        """
        with PROCESS_LOCK, interrupts_held():
            self._set_learning_rates()
            elbo, empirical_bayes = self.elbo_step(x, **covariates), float("nan")
            interrupt = None
            if self.partition.prior and self.steps_taken >= self.prior_rest_steps:
                try:
                    empirical_bayes = self.empirical_bayes_step(x, **covariates)
                except SecondInterrupt:
                    raise
                except KeyboardInterrupt as error:
                    # The networks have been updated: the prior has to follow for the step to be whole.
                    empirical_bayes, interrupt = self.empirical_bayes_step(x, **covariates), error
            self.steps_taken += 1
            self.last_losses = StepLosses(elbo, empirical_bayes)
            if interrupt is not None:
                raise interrupt
        return self.last_losses

    def elbo_step(self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]) -> float:
        """Update guide, decoder and likelihood alone; returns the negative ELBO per observation before it."""
        with PROCESS_LOCK, gradients_on():
            return self._update("elbo", lambda: self.elbo_loss(x, **covariates))

    def empirical_bayes_step(self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]) -> float:
        """Update the prior alone; returns its objective before the update."""
        with PROCESS_LOCK, gradients_on():
            z = self._latents if self.reuses_latents else None
            if z is None or z.shape[:-1] != x.shape[:1]:
                z = self.sample_latents(x, **covariates)
            self._latents = None
            return self._update("prior", lambda: self.model.prior.empirical_bayes_loss(z))

    def elbo_loss(self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]) -> Float[Tensor, ""]:
        """Negative ELBO per observation, a differentiable scalar."""

        def guide(x: Tensor, **covariates: Tensor) -> Tensor:
            z = self.guide.forward(x, **covariates)
            self._latents = z.detach()
            return z

        model = self._story()
        if self.steps_taken < self.standard_normal_steps:
            model = functools.partial(model, prior=self._standard_normal())
        factor = self.kl_schedule(self.steps_taken)
        scaled = nullcontext() if factor == 1.0 else ScaleSite("z", factor)
        with RecordedSite("x") as self._recorded, scaled:
            loss = differentiable_loss(self.loss, model, guide, self.partition.elbo.values(), x, **covariates)
        return loss / len(x)

    def _standard_normal(self) -> StandardNormal:
        return StandardNormal(self.model.prior.latent_dim).to(next(iter(self.partition.elbo.values())))

    @property
    def settled_at(self) -> int:
        """The first step from which the prior learns, the ELBO is under it at full weight, and learning rates no longer rise."""
        schedules = (self.kl_schedule, self.learning_rate_schedule)
        return max(self.standard_normal_steps, self.prior_rest_steps, *(schedule.settled_at for schedule in schedules))

    def evaluate_loss(self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]) -> float:
        """Negative ELBO per observation in evaluation mode and at full KL weight; moves nothing."""
        with (
            PROCESS_LOCK,
            torch.no_grad(),
            evaluation_mode(self.guide),
            evaluation_mode(self.model),
            RecordedSite("x") as recorded,
        ):
            loss = evaluated_loss(self.loss, self._story(), self.guide.forward, x, **covariates)
        value, self.reconstruction = torch.stack([loss, recorded.mean.to(loss)]).tolist()
        return float(value) / len(x)

    def _story(self) -> Callable[..., Tensor]:
        """The model that the ELBO sees; its assignments are summed out, unless the ELBO itself sums them."""
        enumerates = isinstance(self.loss, TraceEnum_ELBO)
        return functools.partial(self.model.fitted, assignments="sampled") if enumerates else self.model.fitted

    def sample_latents(self, x: Real[Tensor, "B F"], **covariates: Real[Tensor, "B ..."]) -> Float[Tensor, "B D"]:
        """``z_n ~ q(z | x_n)`` from the encoder in evaluation mode, ``[B, D]``, without gradients.

        Raises
        ------
        NonFiniteError
            If the encoder gives scales that are not numbers.
        """
        with torch.no_grad(), evaluation_mode(self.guide):
            try:
                return self.guide.posterior(x, **covariates).sample()
            except RuntimeError as error:
                if "std >= 0" not in str(error):  # torch.normal's word on a scale that is NaN
                    raise
                raise self._non_finite(NonFiniteError, "scale of q(z | x)", "is not a number") from error

    def _set_learning_rates(self) -> None:
        factor = self.learning_rate_schedule(self.steps_taken)
        for name, optimizer in self.optimizers.items():
            for group, base in zip(optimizer.param_groups, self.base_learning_rates[name], strict=True):
                group["lr"] = base * factor

    def _update(self, name: Literal["elbo", "prior"], objective: Callable[[], Tensor]) -> float:
        """Minimise ``objective`` by one update of the parameter set ``name``, or leave everything as it was and raise."""
        optimizer, statistics = self.optimizers[name], self._statistics.copy()
        self._switch.only(name)
        try:
            loss = objective()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            value = self._checked(name, loss)
        except BaseException as error:
            self._statistics.restore(statistics)
            optimizer.zero_grad(set_to_none=True)
            self._latents = None
            if isinstance(error, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
                told = str(error).splitlines()[0]
                raise self._non_finite(NonFiniteError, OBJECTIVES[name], f"cannot be computed ({told})") from error
            raise
        finally:
            self._switch.both()
        optimizer.step()
        return value

    def _checked(self, name: Literal["elbo", "prior"], loss: Tensor) -> float:
        """The value of a loss that is finite, as are the gradients it gave and the statistics it moved."""
        watched = [*gradients(getattr(self.partition, name)), *self._statistics]
        # In one transfer, so that a GPU is waited for no more often than the loss alone would need.
        numbers = [loss.detach().reshape(()), total_norm(watched).to(loss), self._recorded.mean.to(loss)]
        value, norm, reconstruction = torch.stack(numbers).tolist()
        if name == "elbo":
            self.reconstruction = reconstruction
        if not math.isfinite(value):
            raise self._non_finite(NonFiniteLossError, OBJECTIVES[name], f"is {value}")
        if not math.isfinite(norm):
            tensor = first_non_finite(watched) or "gradient"
            raise self._non_finite(NonFiniteError, tensor, "is not finite or too large to be squared")
        return value

    def _non_finite(self, kind: type[NonFiniteError], tensor: str, what: str) -> NonFiniteError:
        advice = "Try a lower learning rate, and look for extreme values in the data."
        message = f"The {tensor} {what} at step {self.steps_taken}: no parameter was moved. {advice}"
        return kind(message, tensor=tensor, step=self.steps_taken)


def _check_pair(model: object, guide: object) -> None:
    """Refuse a story or a handler around one: the prior has a step of its own."""
    for name, given, kind, needed in (
        ("model", model, "LatentMixtureModel", ("prior", "fitted", "named_parameters")),
        ("guide", guide, "AmortizedNormal", ("forward", "posterior", "named_parameters")),
    ):
        if not all(hasattr(given, attribute) for attribute in needed):
            raise UserError(
                f"{name} is a {type(given).__name__}: give the {kind} itself. A function, or one inside a handler such as "
                "pyro.condition, is trained by pyro.infer.SVI(model.fitted, guide, optim, loss)."
            )
