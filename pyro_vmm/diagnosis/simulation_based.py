"""Whether ``q(z | x)`` is the posterior of the model, asked of data that the model itself has made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.errors import UserError
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.observations.sparse_rows import Covariate
from pyro_vmm.option_checks import check_seed, check_whole_number
from pyro_vmm.priors.encoded_centres import check_guide
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.random_numbers import CPU, OwnRandomNumbers

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT = 0.01
"""Level, shared among the quantities (Bonferroni): a calibrated guide is found at fault once in a hundred times."""
_AT_ONCE = 500


@dataclass(frozen=True, eq=False)
class SimulationBasedCalibration:
    """Ranks of true values among draws from the guide, and whether they are uniform.

    Attributes
    ----------
    names
        Of the Q quantities: ``"z[0]"`` to ``"z[D - 1]"``, ``"library_size"`` where the model draws it, ``"log p(x | z)"``.
    ranks
        How many of the draws lie below the true value, ``[N, Q]``, from 0 to ``num_draws``.
    num_draws
        Draws ``L`` from the guide for each simulated observation.
    num_bins
        Of the histograms that were tested.
    p_values
        Of Pearson's chi-squared test of uniform ranks, ``[Q]``.
    """

    names: tuple[str, ...]
    ranks: NDArray[np.int64]
    num_draws: int
    num_bins: int
    p_values: NDArray[np.float64]

    @property
    def calibrated(self) -> bool:
        """Whether no quantity is found at fault at the level :data:`SIGNIFICANT`, shared among them."""
        return bool(self.p_values.min() >= SIGNIFICANT / len(self.p_values))

    def histograms(self) -> NDArray[np.int64]:
        """Ranks in bins of equal width, ``[Q, num_bins]``."""
        return _histograms(self.ranks, self.num_draws, self.num_bins)

    def to_frame(self) -> pd.DataFrame:
        """A row a quantity: ``p_value``, ``mean_rank`` and ``outer`` (share of ranks in the outer halves; both 0.5 if uniform)."""
        import pandas as pd

        place = (self.ranks + 0.5) / (self.num_draws + 1)
        outer = (np.abs(place - 0.5) > 0.25).mean(0)
        index = pd.Index(self.names, name="quantity")
        return pd.DataFrame({"p_value": self.p_values, "mean_rank": place.mean(0), "outer": outer}, index=index)

    def __str__(self) -> str:
        table = self.to_frame()
        head = (
            f"Ranks of {len(self.ranks):,} simulated observations among {self.num_draws} draws: "
            f"{'no sign of a fault' if self.calibrated else 'not uniform'}."
        )
        lines = [head]
        for name, row in table.iterrows():
            if row["p_value"] >= SIGNIFICANT / len(table):
                continue
            shape = "too narrow" if row["outer"] > 0.55 else "too wide" if row["outer"] < 0.45 else "of another shape"
            if abs(row["mean_rank"] - 0.5) > 0.05:
                shape = "too low" if row["mean_rank"] > 0.5 else "too high"
            lines.append(f"{name}: the guide is {shape} (p = {row['p_value']:.1g}).")
        return "\n".join([*lines, table.to_string(float_format="{:.3g}".format)])


def simulation_based_calibration(
    model: Any,
    guide: Any,
    covariates: Mapping[str, Covariate] | None = None,
    *,
    num_simulations: int = 1000,
    num_draws: int = 63,
    num_bins: int = 16,
    seed: int = 0,
) -> SimulationBasedCalibration:
    """Draw latents from the prior, data from the latents, and rank the latents among draws from the guide.

    If the guide is the posterior, each rank is uniform on ``0 .. num_draws``. The log likelihood is ranked beside the
    coordinates of ``z``, since a guide that ignores ``x`` and returns the prior has uniform ranks in these (Modrák et al. 2023).
    A library size that the model draws is ranked, too. Of a :class:`pyro_vmm.SingleCellVMM`, call its own method.

    It tests the guide against the model, on the model's own data: it cannot see a model that is wrong about the real data,
    nor faults that cancel over the prior in all the quantities.

    Parameters
    ----------
    model
        With ``prior.sample(n)``, ``observation(z)`` and ``log_likelihood(x, z)``, as
        :class:`~pyro_vmm.models.LatentMixtureModel`.
    guide
        With ``posterior(x)``, on the same device.
    covariates
        ``[M, ...]`` by name, what decoder, encoder and likelihood were fitted with: each simulated observation is given those
        of one of the M, drawn at random.
    num_simulations
        Observations ``N`` to simulate.
    num_draws
        Draws ``L`` from the guide for each.
    num_bins
        Of the histograms tested; it must divide ``num_draws + 1``, and the expected count in a bin be at least 5.
    seed
        Of all draws.

    Returns
    -------
    SimulationBasedCalibration

    Raises
    ------
    UserError
        For numbers that do not go together, covariates that are missing or differ in length, and a guide other than the one
        that encodes the prior's centres.

    References
    ----------
    S. Talts, M. Betancourt, D. Simpson, A. Vehtari and A. Gelman (2018), "Validating Bayesian inference algorithms with
    simulation-based calibration", arXiv 1804.06788; M. Modrák et al. (2023), "Simulation-based calibration checking for
    Bayesian computation: the choice of test quantities shapes sensitivity", for the log likelihood.
    """
    from scipy.stats import chisquare

    num_simulations, num_draws, num_bins = (
        check_whole_number(value, name)
        for name, value in (("num_simulations", num_simulations), ("num_draws", num_draws), ("num_bins", num_bins))
    )
    seed = check_seed(seed, "seed")
    if num_draws < 1 or num_bins < 2 or (num_draws + 1) % num_bins:
        raise UserError(f"num_bins is {num_bins}: it must be at least 2 and divide num_draws + 1, {num_draws + 1}.")
    if num_simulations < 5 * num_bins:
        raise UserError(f"num_simulations is {num_simulations}: {num_bins} bins need at least {5 * num_bins}.")
    check_guide(model.prior, guide)
    given = dict(covariates or {})
    if len({len(values) for values in given.values()}) > 1:
        raise UserError(
            "covariates differ in length: " + ", ".join(f"{name} {len(values)}" for name, values in given.items())
        )
    for name in getattr(model, "needed_covariates", ()):
        if name not in given:
            raise UserError(
                f"The model was fitted with the covariate {name!r}: give it, covariates={{{name!r}: ...}}, or call "
                "SingleCellVMM.simulation_based_calibration()."
            )
    blocks = []
    sizes = [min(_AT_ONCE, num_simulations - start) for start in range(0, num_simulations, _AT_ONCE)]
    device = next((parameter.device for parameter in guide.parameters()), CPU)
    with (
        OwnRandomNumbers(seed, device),
        usual_settings(),
        torch.no_grad(),
        evaluation_mode(model),
        evaluation_mode(guide),
    ):
        for size in sizes:
            z = model.prior.sample(size)
            beside = _of_random_rows(given, size, z.device)
            library = _library(model, beside, size)
            x = model.observation(z, **beside, **library).sample()
            drawn = guide.posterior(x, **beside).sample(torch.Size((num_draws,)))
            below = (drawn < z).sum(0)  # [B, D]
            truth = model.log_likelihood(x, z, **beside, **library)
            # The library size is drawn with the latents: both are what the guide has a posterior of.
            libraries = {
                name: guide.library_posterior(x, **beside).sample(torch.Size((num_draws,))) for name in library
            }
            likelihood = torch.stack(
                [
                    model.log_likelihood(x, draw, **beside, **{name: each[place] for name, each in libraries.items()})
                    for place, draw in enumerate(drawn)
                ]
            )
            counted = [(libraries[name] < library[name]).sum(0)[:, None] for name in library]
            blocks.append(torch.cat((below, *counted, (likelihood < truth).sum(0)[:, None]), -1).cpu())
    ranks = torch.cat(blocks).numpy().astype(np.int64)
    dimensions = ranks.shape[1] - 1 - len(library)
    names = (*(f"z[{dimension}]" for dimension in range(dimensions)), *library, "log p(x | z)")
    p_values = np.array([chisquare(counts).pvalue for counts in _histograms(ranks, num_draws, num_bins)])
    return SimulationBasedCalibration(names, ranks, num_draws, num_bins, p_values)


def _of_random_rows(covariates: Mapping[str, Covariate], size: int, device: torch.device) -> dict[str, Tensor]:
    number = min((len(values) for values in covariates.values()), default=1)
    rows = torch.randint(number, (size,))
    return {name: values[rows.to(values.device)].to(device) for name, values in covariates.items()}


def _library(model: Any, covariates: Mapping[str, Tensor], size: int) -> dict[str, Tensor]:
    """The site ``library_size``, ``[B]``, of a model that has it."""
    if not hasattr(model, "library_prior"):
        return {}
    return {"library_size": model.library_prior(covariates.get("batch")).expand(torch.Size((size,))).sample()}


def _histograms(ranks: NDArray[np.int64], num_draws: int, num_bins: int) -> NDArray[np.int64]:
    place = ranks * num_bins // (num_draws + 1)
    return np.stack([np.bincount(column, minlength=num_bins) for column in place.T])
