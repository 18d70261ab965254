"""Test statistics: what is compared between the data and their replicates."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyro_vmm.errors import UserError

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Statistic:
    """``T(x)`` as any function of all observations; each replicate is held as a whole while it is computed.

    When not to use: where ``T`` follows from means over observations. :class:`MeanStatistic` then needs no more memory
    than a block of rows.

    Attributes
    ----------
    name
        What tables and pictures call it.
    function
        From observations ``[N, F]`` (NumPy, in the data's units) to a number or ``[S]``, for any N above 0.
    entries
        Names of the ``S`` entries; the features' where it is empty and there are as many.
    averages
        Whether the mean over entries says something. It does not for shares that sum to one.
    """

    name: str
    function: Callable[[NDArray[np.float32]], ArrayLike]
    entries: Sequence[str] = ()
    averages: bool = True


@dataclass(frozen=True)
class MeanStatistic:
    """``T(x) = finish(1/N sum_n of_rows(x_n))``, computed a block of rows at a time.

    Attributes
    ----------
    name, entries, averages
        As for :class:`Statistic`.
    of_rows
        From rows ``[B, F]`` (float64) to what is averaged over them, ``[B, ...]``.
    finish
        From the means ``[...]`` to a number or ``[S]``; None leaves them as they are.
    """

    name: str
    of_rows: Callable[[Values], Values]
    finish: Callable[[Values], ArrayLike] | None = None
    entries: Sequence[str] = ()
    averages: bool = True


@dataclass(frozen=True)
class SpreadStatistic:
    """``T(x) = finish(mean, variance)`` of ``of_rows(x_n)`` over the observations, computed a block of rows at a time.

    The variance is summed about the mean: the difference of two moments would lose it where values lie far from zero.

    Attributes
    ----------
    name, entries, averages
        As for :class:`Statistic`.
    of_rows
        From rows ``[B, F]`` (float64) to numbers ``[B, S]``.
    finish
        From their means and variances (divided by N), ``[S]`` each, to ``[S]``.
    """

    name: str
    of_rows: Callable[[Values], Values]
    finish: Callable[[Values, Values], Values]
    entries: Sequence[str] = ()
    averages: bool = True


AnyStatistic: TypeAlias = Statistic | MeanStatistic | SpreadStatistic
Choice: TypeAlias = str | AnyStatistic | Callable[[NDArray[np.float32]], ArrayLike]


def _coefficient_of_variation(mean: Values, variance: Values) -> Values:
    return np.divide(np.sqrt(variance), mean, out=np.full_like(mean, np.nan), where=mean != 0)


def intensity_histogram(bins: int = 10, low: float = 0.0, high: float = 1.0) -> MeanStatistic:
    """Share of the values (pixels) of all features in each of ``bins`` equal bins from ``low`` to ``high``, ``[bins]``.

    The first and the last bin take in what lies beyond the ends.

    Raises
    ------
    UserError
        If there is no bin, or ``high`` is not above ``low``.
    """
    if bins < 1 or not low < high:
        raise UserError(f"{bins} bins from {low:g} to {high:g} make no histogram: give bins >= 1 and low < high.")

    def of_rows(rows: Values) -> Values:
        places = np.clip((rows - low) * (bins / (high - low)), 0, bins - 1).astype(np.int64)
        places += bins * np.arange(len(rows))[:, None]
        counts = np.bincount(places.ravel(), minlength=bins * len(rows)).reshape(len(rows), bins)
        return counts / rows.shape[1]

    edges = np.linspace(low, high, bins + 1).tolist()
    names = tuple(f"{start:.3g} to {end:.3g}" for start, end in pairwise(edges))
    return MeanStatistic("intensity_histogram", of_rows, entries=names, averages=False)


NAMED: dict[str, AnyStatistic] = {
    statistic.name: statistic
    for statistic in (
        MeanStatistic("mean", lambda rows: rows),
        SpreadStatistic("variance", lambda rows: rows, lambda _, variance: variance),
        MeanStatistic("zeros", lambda rows: (rows == 0).astype(np.float64)),
        SpreadStatistic("cv", lambda rows: rows, _coefficient_of_variation),
        MeanStatistic("library_size", lambda rows: rows.sum(1)),
        SpreadStatistic(
            "library_size_sd", lambda rows: rows.sum(1, keepdims=True), lambda _, variance: np.sqrt(variance)
        ),
        MeanStatistic("intensity", lambda rows: rows.mean(1)),
        intensity_histogram(),
    )
}
"""Statistics by name.

``mean``, ``variance`` (divided by N), ``zeros`` (fraction of observations that are 0) and ``cv`` (coefficient of variation,
standard deviation over mean; undefined where the mean is 0) are of each feature. ``library_size`` and ``library_size_sd`` are mean
and standard deviation of the rows' totals, ``intensity`` is the mean of all values (pixels): one number each.
``intensity_histogram`` is the share of values in ten bins from 0 to 1; :func:`intensity_histogram` makes others.
"""


def chosen(statistics: Choice | Sequence[Choice]) -> tuple[AnyStatistic, ...]:
    """The statistics meant by names of :data:`NAMED`, functions of one's own, or objects.

    Raises
    ------
    UserError
        For an unknown name, something that is no statistic, two of one name, or none at all.
    """
    choices = [statistics] if isinstance(statistics, str) or callable(statistics) else statistics
    if isinstance(choices, AnyStatistic):
        choices = [choices]
    found = tuple(_named(choice) for choice in choices)
    if not found:
        raise UserError(f"There is no statistic to check: give some of {', '.join(NAMED)}, or a function.")
    names = [statistic.name for statistic in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"Two statistics are called {name!r}: tell them apart, as with ppc.Statistic('my name', function)."
            )
    return found


def _named(choice: Any) -> AnyStatistic:
    if isinstance(choice, AnyStatistic):
        return choice
    if isinstance(choice, str):
        if choice not in NAMED:
            raise UserError(f"The statistic {choice!r} is not known: choose among {', '.join(NAMED)}.")
        return NAMED[choice]
    if callable(choice):
        return Statistic(str(getattr(choice, "__name__", type(choice).__name__)), choice)
    raise UserError(f"{choice!r} is no statistic: give a name, a function of x [N, F], or a ppc.Statistic.")


def evaluate(
    statistics: Sequence[AnyStatistic], blocks: Iterable[NDArray[np.float32]], members: NDArray[np.bool_]
) -> list[Values]:
    """Each statistic of each set of observations, ``[sets, S]``.

    Parameters
    ----------
    statistics
        What to compute.
    blocks
        The observations in order, a block of rows ``[B, F]`` at a time.
    members
        ``[sets, N]``: which observations each set holds, one or more.

    Raises
    ------
    UserError
        If a function gives something other than a number or a vector, or vectors of different lengths, or ``of_rows``
        something that is not of rows.
    """
    means: dict[str, Values] = {}
    spreads = {each.name: [_Spread() for _ in members] for each in statistics if isinstance(each, SpreadStatistic)}
    whole: list[NDArray[np.float32]] = []
    any_whole = any(isinstance(statistic, Statistic) for statistic in statistics)
    sizes = members.sum(1).astype(np.float64)
    start = 0
    for block in blocks:
        here = members[:, start : start + len(block)].astype(np.float64)
        start += len(block)
        rows = block.astype(np.float64)
        for statistic in statistics:
            if isinstance(statistic, MeanStatistic):
                summands = np.asarray(statistic.of_rows(rows), dtype=np.float64)
                if summands.shape[:1] != (len(rows),):
                    raise UserError(
                        f"of_rows of the statistic {statistic.name!r} gives shape {list(summands.shape)} for {len(rows)} "
                        "rows: return something for each row, [B, ...]."
                    )
                sums = np.tensordot(here, summands, 1)
                means[statistic.name] = means.get(statistic.name, 0.0) + sums
            elif isinstance(statistic, SpreadStatistic):
                values = statistic.of_rows(rows)
                for spread, member in zip(spreads[statistic.name], here.astype(bool), strict=True):
                    spread.add(values if member.all() else values[member])
        if any_whole:
            whole.append(block)
    x = np.concatenate(whole) if whole else np.empty((0, 0), np.float32)
    results = []
    for statistic in statistics:
        of_sets: list[Any]
        if isinstance(statistic, MeanStatistic):
            each = [total / size for total, size in zip(means[statistic.name], sizes, strict=True)]
            of_sets = each if statistic.finish is None else [statistic.finish(mean) for mean in each]
        elif isinstance(statistic, SpreadStatistic):
            of_sets = [
                statistic.finish(spread.mean, spread.squares / spread.count) for spread in spreads[statistic.name]
            ]
        else:
            of_sets = [statistic.function(x if member.all() else x[member]) for member in members]
        results.append(_stacked(statistic.name, of_sets))
    return results


@dataclass
class _Spread:
    """Mean ``[S]`` and sum of squares about it of rows that arrive in blocks (Chan, Golub and LeVeque 1983)."""

    count: int = 0
    mean: Any = 0.0
    squares: Any = 0.0

    def add(self, rows: Values) -> None:
        if not len(rows):
            return
        mean, total = rows.mean(0), self.count + len(rows)
        step = mean - self.mean
        self.squares += np.square(rows - mean).sum(0) + np.square(step) * (self.count * len(rows) / total)
        self.mean, self.count = self.mean + step * (len(rows) / total), total


def _stacked(name: str, values: Sequence[Any]) -> Values:
    try:
        vectors = [np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in values]
    except (TypeError, ValueError):
        raise UserError(f"The statistic {name!r} gives no numbers: return a number or a vector [S].") from None
    shapes = {vector.shape for vector in vectors}
    if len(shapes) > 1 or vectors[0].ndim != 1 or not vectors[0].size:
        told = ", ".join(str(list(shape)) for shape in sorted(shapes))
        raise UserError(
            f"The statistic {name!r} gives arrays of shape {told}: return a number or a vector [S], always."
        )
    return np.stack(vectors)
