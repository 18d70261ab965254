"""Predictive checks of a fit, and the replicates they are made of."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.errors import UserError
from pyro_vmm.option_checks import check_whole_number
from pyro_vmm.ppc.groups import read_groups
from pyro_vmm.ppc.observing import observe
from pyro_vmm.ppc.replicates import SOURCES, Source, replicated_blocks
from pyro_vmm.ppc.result import PredictiveCheck, StatisticCheck
from pyro_vmm.ppc.statistics import AnyStatistic, Choice, chosen, evaluate
from pyro_vmm.process_settings import usual_settings


@usual_settings()
def check(
    model: Any,
    data: Any = None,
    statistics: Choice | Sequence[Choice] = ("mean", "variance", "zeros"),
    num_replicates: int = 100,
    source: Source = "posterior",
    by: Any = None,
    seed: int = 0,
    *,
    indices: Any = None,
    guide: Any = None,
    covariates: Mapping[str, Tensor] | None = None,
) -> PredictiveCheck:
    r"""Compare statistics of the data with those of data replicated from a fit (Gelman, Meng & Stern 1996).

    .. math:: p = P(T(x^{rep}) \ge T(x)), \quad x^{rep}_n \sim p(x | z_n, s_n), \quad z_n \sim q(z | x_n, s_n)

    with :math:`z_n \sim p(z)` for ``source="prior"``. Covariates :math:`s_n` are those of the data, observed library sizes
    among them; a library size that is inferred is drawn like ``z``.

    Near 0 the replicates fall short of the data, near 1 they exceed them. Posterior p-values of a model that fits gather around
    0.5 rather than being uniform, since each replicate has its observation's own ``z``: they find misfit of the likelihood
    more than of the prior, which ``source="prior"`` looks at. Check rows that were not fitted as well: give them as ``data``.

    One replicate is drawn at a time, a block of rows at a time. What is held is statistics: replicates x groups x entries.

    Parameters
    ----------
    model
        A fitted :class:`~pyro_vmm.VMM`, :class:`~pyro_vmm.SingleCellVMM` or :class:`~pyro_vmm.fit.Fit`, or an
        :class:`~pyro_vmm.fit.ObservedFit`; or a :class:`~pyro_vmm.models.LatentMixtureModel`, with ``guide``.
    data
        Observations ``[N, F]`` for a VMM or a bare model, which keep none, and what its modality reads for a Fit; an AnnData
        for a SingleCellVMM, None for the cells fitted. None for an ObservedFit. Training data or held out.
    statistics
        Names of :data:`pyro_vmm.ppc.NAMED`, functions from ``x [N, F]`` (a NumPy array) to a number or ``[S]``,
        :class:`~pyro_vmm.ppc.Statistic` or :class:`~pyro_vmm.ppc.MeanStatistic`.
    num_replicates
        ``R``. The share outside the central 95 % is coarse below 100.
    source
        ``"posterior"`` or ``"prior"``.
    by
        Check groups besides all observations: ``"cluster"`` (as predicted; posterior only), ``"batch"``, or a group for
        each observation, ``[N]``.
    seed
        Decides the replicates; replicate ``r`` is the same however many there are.
    indices
        Rows, or a Boolean mask, of the cells wanted (SingleCellVMM).
    guide, covariates
        Of a bare model: its guide, and its covariates by name, N rows each (one-hot ``batch`` for ``by="batch"``).

    Returns
    -------
    PredictiveCheck

    Raises
    ------
    UserError
        For an argument that cannot be used, or a statistic that gives no numbers.

    References
    ----------
    A. Gelman, X.-L. Meng and H. Stern, "Posterior predictive assessment of model fitness via realized discrepancies", 1996.

    Examples
    --------
    >>> result = ppc.check(vmm, x, statistics=("mean", "zeros", my_function), by="cluster")      # doctest: +SKIP
    >>> print(result)                                                                             # doctest: +SKIP
    >>> result["zeros"].to_frame()                                                                # doctest: +SKIP
    """
    wanted = chosen(statistics)
    num_replicates, seed = check_draws(num_replicates, source, seed)
    seen = observe(model, data, indices=indices, guide=guide, covariates=covariates)
    groups, members = read_groups(seen, by, source)
    members = np.concatenate((np.ones((1, len(seen)), dtype=bool), members))
    observed = evaluate(wanted, seen.in_data_units(), members)
    replicated = [np.empty((num_replicates, *values.shape)) for values in observed]
    for replicate_number in range(num_replicates):
        blocks = (x for _, x in replicated_blocks(seen, source, seed, replicate_number))
        for place, values in enumerate(evaluate(wanted, blocks, members)):
            if values.shape != observed[place].shape:
                raise UserError(
                    f"The statistic {wanted[place].name!r} gives {values.shape[1]} numbers for a replicate but "
                    f"{observed[place].shape[1]} for the data: return as many for any x [N, F]."
                )
            replicated[place][replicate_number] = values
    checks = tuple(
        StatisticCheck(
            name=statistic.name,
            group=group,
            num_observations=int(members[row].sum()),
            entries=_entries(statistic, observed[place].shape[1], seen.feature_names),
            observed=observed[place][row],
            replicated=replicated[place][:, row],
            averages=statistic.averages,
        )
        for place, statistic in enumerate(wanted)
        for row, group in enumerate((None, *groups))
    )
    return PredictiveCheck(source, num_replicates, seed, checks)


@usual_settings()
def replicate(
    model: Any,
    data: Any = None,
    num_replicates: int = 1,
    source: Source = "posterior",
    seed: int = 0,
    *,
    indices: Any = None,
    guide: Any = None,
    covariates: Mapping[str, Tensor] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """The replicates behind :func:`check`, one ``[N, F]`` at a time, in the data's units.

    ``numpy.stack(list(replicate(...)))`` holds them all. Parameters and errors are those of :func:`check`.
    """
    num_replicates, seed = check_draws(num_replicates, source, seed)
    seen = observe(model, data, indices=indices, guide=guide, covariates=covariates)
    return (
        np.concatenate([x for _, x in replicated_blocks(seen, source, seed, number)])
        for number in range(num_replicates)
    )


def check_draws(num_replicates: Any, source: Any, seed: Any) -> tuple[int, int]:
    """Return ``num_replicates`` and ``seed`` as Python's own; raise :class:`UserError` where nothing can be drawn so."""
    number = check_whole_number(num_replicates, "num_replicates")
    if source not in SOURCES:
        raise UserError(f"source={source!r} is not known: choose 'posterior' or 'prior'.")
    return number, check_whole_number(seed, "seed", least=0, most=sys.maxsize)


def _entries(statistic: AnyStatistic, number: int, feature_names: NDArray[np.str_]) -> tuple[str, ...]:
    if len(statistic.entries) == number:
        return tuple(statistic.entries)
    if number == 1:
        return (statistic.name,)
    if number == len(feature_names):
        return tuple(feature_names.tolist())
    return tuple(str(place) for place in range(number))
