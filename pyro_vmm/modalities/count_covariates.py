"""From the covariates of cells to the tensors that networks and likelihood take."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vmm.data import CellCounts
from pyro_vmm.data.cell_covariates import mean_and_scale, standardize
from pyro_vmm.data.csr_files import CsrFiles
from pyro_vmm.observations import Covariate, Groups, InMemory, OnDisk, OneHotRows, SparseRows


@dataclass(frozen=True)
class CovariateEncoding:
    """How covariates become tensors: learned from the cells that a model is fitted to, applied to all.

    Attributes
    ----------
    categories
        Number of categories of each one-hot covariate by tensor name: ``"batch"``, where there are several batches, and
        ``"categorical_0"``, ``"categorical_1"``, ... in the order of the setup's keys.
    continuous_mean, continuous_scale
        What is subtracted from, and divides, each continuous covariate.
    observed_library
        Whether the tensor ``"library_size"`` is given (observed) or left to be inferred.
    size_factor_unit
        Counts that a size factor of 1 stands for: library sizes are ``size_factor_unit`` times the size factors.
    """

    categories: dict[str, int]
    continuous_mean: tuple[float, ...]
    continuous_scale: tuple[float, ...]
    observed_library: bool
    size_factor_unit: float | None = None

    @classmethod
    def of(cls, cells: CellCounts, *, observed_library: bool) -> "CovariateEncoding":
        """Learn the encoding of these cells' covariates."""
        categories = {"batch": len(cells.batch_categories)} if len(cells.batch_categories) > 1 else {}
        for place, key in enumerate(cells.setup.categorical_keys):
            categories[f"categorical_{place}"] = len(cells.covariate_categories[key])
        mean, scale = mean_and_scale(cells.continuous_covariates)
        factor = cells.size_factor
        return cls(
            categories=categories,
            continuous_mean=tuple(mean.tolist()),
            continuous_scale=tuple(scale.tolist()),
            observed_library=observed_library,
            size_factor_unit=None
            if factor is None
            else float(cells.library_size.mean(dtype=np.float64) / factor.mean()),
        )

    @property
    def widths(self) -> dict[str, int]:
        """Width of each covariate that the networks take, by tensor name."""
        return self.categories | self.continuous

    @property
    def continuous(self) -> dict[str, int]:
        """Number of continuous covariates under their tensor's name; empty where there are none."""
        return {"continuous": len(self.continuous_mean)} if self.continuous_mean else {}

    def library_size(self, cells: CellCounts) -> Tensor:
        """Observed library sizes ``[N]``: total counts, or the size factors in counts."""
        if self.size_factor_unit is None or cells.size_factor is None:
            return torch.from_numpy(cells.library_size)
        return torch.from_numpy(cells.size_factor) * self.size_factor_unit

    def observations(self, cells: CellCounts) -> InMemory | OnDisk:
        """Counts with their covariates; batches and other categories are groups, too, by tensor name."""
        groups = {} if cells.setup.batch_key is None else {"batch": Groups(cells.batch, cells.batch_categories)}
        for place, key in enumerate(cells.setup.categorical_keys):
            codes = cells.categorical_covariates[key]
            groups[f"categorical_{place}"] = Groups(codes, cells.covariate_categories[key])
        if isinstance(cells.counts, CsrFiles):
            return OnDisk(cells.counts, self.tensors(cells), groups)
        return InMemory(SparseRows(cells.counts), self.tensors(cells), groups)

    def tensors(self, cells: CellCounts) -> dict[str, Covariate]:
        """Covariates by tensor name, float32, ``[N, width]`` each; and ``"library_size"``, ``[N]``, where observed.

        Categories are :class:`~pyro_vmm.training.OneHotRows`: one-hot rows of all cells at once would take gigabytes where
        there are many cells and batches.
        """
        encoded: dict[str, Covariate] = {}
        if "batch" in self.categories:
            encoded["batch"] = OneHotRows(torch.from_numpy(cells.batch), self.categories["batch"])
        for place, key in enumerate(cells.setup.categorical_keys):
            name = f"categorical_{place}"
            encoded[name] = OneHotRows(torch.from_numpy(cells.categorical_covariates[key]), self.categories[name])
        if self.continuous_mean:
            standardized = standardize(cells.continuous_covariates, self.continuous_mean, self.continuous_scale)
            encoded["continuous"] = torch.from_numpy(standardized)
        if self.observed_library:
            encoded["library_size"] = self.library_size(cells)
        return encoded

    def to_dict(self) -> dict[str, Any]:
        """Plain values by attribute, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CovariateEncoding":
        """Read back what :meth:`to_dict` gave."""
        lists = {name: tuple(values[name]) for name in ("continuous_mean", "continuous_scale")}
        return cls(**(dict(values) | lists))
