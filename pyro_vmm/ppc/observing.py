"""What a check looks at: a fit, or a bare model, together with observations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.data import validate_array
from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import ROWS_AT_ONCE, Evaluation
from pyro_vmm.fit import ObservedFit
from pyro_vmm.fit.observed import Observing, numbered_features
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.observations import Covariate, Groups, InMemory, in_order
from pyro_vmm.priors.encoded_centres import check_guide


@dataclass(eq=False)
class ObservedModel:
    """A model without a fit and N observations; it answers as an :class:`~pyro_vmm.fit.ObservedFit` does.

    Attributes
    ----------
    model, guide
        As the user has them; without a guide there are draws from the prior alone.
    observations
        As the model takes them.
    """

    model: LatentMixtureModel
    guide: AmortizedNormal | None
    observations: InMemory

    def __len__(self) -> int:
        return len(self.observations)

    @cached_property
    def assignment(self) -> NDArray[np.int64]:
        """The most probable component of each observation, ``[N]``.

        Raises
        ------
        UserError
            Without a guide.
        """
        evaluation = Evaluation(self.model, needed_guide(self.guide, "by='cluster'"))
        return evaluation.responsibilities(self.observations).argmax(1)

    @property
    def groups(self) -> Mapping[str, Groups]:
        """The batches, where there are any."""
        return self.observations.groups

    @property
    def feature_names(self) -> NDArray[np.str_]:
        """``[F]``."""
        return numbered_features(self.observations.num_features)

    def in_data_units(self) -> Iterator[NDArray[np.floating[Any]]]:
        """The observations, a block ``[B, F]`` at a time."""
        for x, _ in in_order(self.observations, ROWS_AT_ONCE, torch.device("cpu")):
            yield self.draws_in_data_units(x)

    def draws_in_data_units(self, draws: Tensor) -> NDArray[np.floating[Any]]:
        """What the model draws, ``[B, F]``, as it is."""
        return draws.float().cpu().numpy()


Observed: TypeAlias = ObservedFit | ObservedModel


def observe(
    model: Any,
    data: Any = None,
    *,
    indices: Any = None,
    guide: Any = None,
    covariates: Mapping[str, Covariate] | None = None,
) -> Observed:
    """Bring a fit and its data together; see :func:`pyro_vmm.ppc.check` for what they may be.

    Raises
    ------
    UserError
        For a model of another kind, data that it cannot read or that are missing, or an argument that this kind of model does
        not take.
    """
    name, bare = type(model).__name__, isinstance(model, LatentMixtureModel)
    if not bare and (guide is not None or covariates is not None):
        raise UserError(f"{name} has its own guide and covariates: leave guide and covariates out.")
    if indices is not None and not (isinstance(model, Observing) and "indices" in signature(model.observe).parameters):
        raise UserError(
            "indices chooses cells of a SingleCellVMM: for other models give the rows, as in data[indices]."
        )
    if isinstance(model, Observing):
        observed = model.observe(data) if indices is None else model.observe(data, indices=indices)  # type: ignore[call-arg]
        if not len(observed):
            raise UserError("indices choose no cell: choose at least one.")
        return observed
    if not bare:
        raise UserError(
            f"model is a {name}: give a fitted VMM, SingleCellVMM or Fit, or a LatentMixtureModel and its guide."
        )
    if data is None:
        raise UserError(f"{name} keeps no data: give the observations to check it on, data [N, F].")
    return _observed_model(model, guide, data, covariates or {})


def needed_guide(guide: AmortizedNormal | None, what: str) -> AmortizedNormal:
    """The guide; raises :class:`UserError` where there is none."""
    if guide is None:
        raise UserError(f"{what} needs the guide: give guide=, or check draws from the prior with source='prior'.")
    return guide


def _observed_model(
    model: LatentMixtureModel, guide: Any, data: Any, covariates: Mapping[str, Covariate]
) -> ObservedModel:
    dtype = next((value.dtype for value in model.parameters()), torch.float32)
    x = torch.tensor(validate_array(data, name="data", minimum_observations=1), dtype=dtype)
    for name, values in covariates.items():
        if len(values) != len(x):
            raise UserError(
                f"The covariate {name!r} has {len(values)} rows, but data has {len(x)}: give one row an observation."
            )
    if guide is not None:
        check_guide(model.prior, guide)
    groups, batch = {}, covariates.get("batch")
    if batch is not None and batch.ndim == 2:
        codes = batch.to("cpu").argmax(1).numpy()
        groups["batch"] = Groups(codes, tuple(str(code) for code in range(batch.shape[1])))
    return ObservedModel(model, guide, InMemory(x, covariates, groups))
