"""What a predictive check found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyro_vmm.errors import UserError
from pyro_vmm.ppc.replicates import Source
from pyro_vmm.scoring import format_table

TAIL = 0.025
"""An observed value is outside when fewer than this share of the replicates lie on one side of it, ties counted as beyond."""


@dataclass(frozen=True, eq=False)
class StatisticCheck:
    """One statistic of one set of observations, beside the same of the replicates.

    Attributes
    ----------
    name
        The statistic.
    group
        The group that the observations are, or None for all.
    num_observations
        In that set.
    entries
        Names of the statistic's entries, ``[S]``; the statistic's own where it is one number.
    observed
        ``T(x)``, ``[S]``; NaN where it is undefined.
    replicated
        ``T(x_rep)`` of each replicate, ``[R, S]``.
    averages
        Whether the mean over entries says something.
    """

    name: str
    group: str | None
    num_observations: int
    entries: tuple[str, ...]
    observed: NDArray[np.float64]
    replicated: NDArray[np.float64]
    averages: bool = True

    @cached_property
    def p_values(self) -> NDArray[np.float64]:
        """``P(T(x_rep) >= T(x))`` of each entry, ``[S]``, over the replicates in which it is defined; else NaN."""
        return _shares(self.replicated >= self.observed, self.replicated, self.observed)

    @cached_property
    def outside(self) -> NDArray[np.bool_]:
        """Which entries lie outside the central 95 % of their replicates, ``[S]``.

        Ties speak for neither side: a gene without counts in data and replicates has ``p = 1`` and is not outside.
        """
        below = _shares(self.replicated <= self.observed, self.replicated, self.observed)
        return (self.p_values < TAIL) | (below < TAIL)

    @property
    def share_outside(self) -> float:
        """Share of the entries with a p-value that are :attr:`outside`; about 0.05 or less where the model fits."""
        defined = np.isfinite(self.p_values)
        return float(self.outside[defined].mean()) if defined.any() else float("nan")

    @cached_property
    def overall(self) -> StatisticCheck:
        """The mean over the entries that are defined in the data and in every replicate: a check of one number."""
        defined = np.isfinite(self.observed) & np.isfinite(self.replicated).all(0)
        if len(self.observed) == 1:
            return self
        if not self.averages or not defined.any():
            observed, replicated = np.full(1, np.nan), np.full((len(self.replicated), 1), np.nan)
        else:
            observed = self.observed[defined].mean(keepdims=True)
            replicated = self.replicated[:, defined].mean(1, keepdims=True)
        return StatisticCheck(self.name, self.group, self.num_observations, (self.name,), observed, replicated)

    @property
    def p_value(self) -> float:
        """``P(T(x_rep) >= T(x))`` of :attr:`overall`; NaN where the mean over entries says nothing."""
        return float(self.overall.p_values[0])

    @property
    def verdict(self) -> str:
        """Where the replicates of :attr:`overall` lie: ``"like the data"``, ``"too low"``, ``"too high"``; or ``"-"``."""
        if not np.isfinite(self.p_value):
            return "-"
        if not self.overall.outside[0]:
            return "like the data"
        return "too low" if self.p_value < TAIL else "too high"

    def to_frame(self) -> pd.DataFrame:
        """A row an entry: ``observed``; ``replicated``, ``low`` and ``high`` (mean, 2.5 and 97.5 % of the replicates);
        ``p_value``; ``outside``.
        """  # noqa: D205
        missing = ~np.isfinite(self.replicated).any(0)
        # Entries undefined in every replicate stay NaN, without numpy's warning of empty slices.
        kept = np.where(missing, 0.0, self.replicated)
        low, high = np.nanquantile(kept, [TAIL, 1 - TAIL], axis=0)
        columns = {"replicated": np.nanmean(kept, 0), "low": low, "high": high}
        return pd.DataFrame(
            {"observed": self.observed}
            | {name: np.where(missing, np.nan, values) for name, values in columns.items()}
            | {"p_value": self.p_values, "outside": self.outside},
            index=pd.Index(self.entries, name="entry"),
        )


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """All statistics of all observations and of their groups; ``str()`` gives a table.

    Attributes
    ----------
    source
        ``"posterior"`` or ``"prior"``.
    num_replicates, seed
        Of the replicates.
    checks
        A statistic after the other; of each first all observations, then the groups.
    """

    source: Source
    num_replicates: int
    seed: int
    checks: tuple[StatisticCheck, ...]

    def __getitem__(self, key: str | tuple[str, str | None]) -> StatisticCheck:
        """The check of a statistic by its name, or of a statistic in a group: ``result["zeros", "batch 0"]``.

        Raises
        ------
        UserError
            If there is none.
        """
        name, group = key if isinstance(key, tuple) else (key, None)
        for check in self.checks:
            if check.name == name and check.group == (None if group is None else str(group)):
                return check
        if name not in self.statistics:
            raise UserError(f"The statistic {name!r} was not checked: choose among {', '.join(self.statistics)}.")
        raise UserError(f"There is no group {group!r}: choose among {', '.join(self.groups) or 'none (by was None)'}.")

    def __iter__(self) -> Iterator[StatisticCheck]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of the statistics."""
        return tuple(dict.fromkeys(check.name for check in self.checks))

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups; empty without any."""
        return tuple(dict.fromkeys(check.group for check in self.checks if check.group is not None))

    def p_values(self) -> pd.DataFrame:
        """:attr:`StatisticCheck.p_value`, groups (``"all"`` first) x statistics."""
        return self._by_group("p_value")

    def shares_outside(self) -> pd.DataFrame:
        """:attr:`StatisticCheck.share_outside`, groups (``"all"`` first) x statistics."""
        return self._by_group("share_outside")

    def _by_group(self, attribute: str) -> pd.DataFrame:
        groups = (None, *self.groups)
        values = [[getattr(self[name, group], attribute) for name in self.statistics] for group in groups]
        rows = pd.Index(["all", *self.groups], name="group")
        return pd.DataFrame(values, index=rows, columns=pd.Index(self.statistics, name="statistic"), dtype=np.float64)

    def to_frame(self) -> pd.DataFrame:
        """A row a statistic and group, of means over entries; :meth:`StatisticCheck.to_frame` has the entries."""
        return pd.DataFrame([self._row(check) for check in self.checks])

    def _row(self, check: StatisticCheck) -> dict[str, object]:
        told = check.overall.to_frame().iloc[0]
        return {
            "statistic": check.name,
            "group": "all" if check.group is None else check.group,
            "observations": check.num_observations,
            "entries": len(check.entries),
            "observed": float(told["observed"]),
            "replicated": float(told["replicated"]),
            "low": float(told["low"]),
            "high": float(told["high"]),
            "p_value": check.p_value,
            "share_outside": check.share_outside,
            "on_average": check.verdict,
        }

    def __str__(self) -> str:
        """A line a statistic and group, beneath what was done."""
        number = self.checks[0].num_observations
        head = (
            f"{self.source.capitalize()} predictive check: {number:,} observations, "
            f"{self.num_replicates:,} replicates, seed {self.seed}"
        )
        foot = (
            "p_value: share of replicates at or above the data; share_outside: of a statistic's entries, those outside the "
            "central 95 % of their replicates."
        )
        rows = [self._row(check) for check in self.checks]
        if not self.groups:
            rows = [
                {name: value for name, value in row.items() if name not in ("group", "observations")} for row in rows
            ]
        return "\n".join((head, format_table(rows), foot))


def _shares(
    holds: NDArray[np.bool_], replicated: NDArray[np.float64], observed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the replicates in which something holds, ``[S]``, among those that are defined."""
    defined = np.isfinite(replicated) & np.isfinite(observed)
    number = defined.sum(0).astype(np.float64)
    return np.divide((holds & defined).sum(0), number, out=np.full(len(number), np.nan), where=number > 0)
