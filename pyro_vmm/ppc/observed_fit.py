"""A fit beside the observations it is checked on, whichever of the facades, or none, it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pyro import poutine
from torch import Tensor

from pyro_vmm.data import validate_array
from pyro_vmm.errors import UserError
from pyro_vmm.evaluation import ROWS_AT_ONCE, Evaluation
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks.evaluation_mode import evaluation_mode
from pyro_vmm.observations import Covariate, InMemory, Rows, SparseRows
from pyro_vmm.observations.sparse_rows import dense_rows
from pyro_vmm.priors.encoded_centres import check_guide
from pyro_vmm.process_settings import usual_settings
from pyro_vmm.random_numbers import OwnRandomNumbers
from pyro_vmm.single_cell import SingleCellVMM
from pyro_vmm.vmm import VMM

Source: TypeAlias = Literal["posterior", "prior"]
SOURCES: tuple[Source, ...] = ("posterior", "prior")


@dataclass(frozen=True, eq=False)
class ObservedFit:
    """What every check needs: model, guide, observations with their covariates, and names.

    Attributes
    ----------
    model, guide
        As fitted; a guide is only needed for the posterior.
    x
        Observations as the model takes them, ``[N, F]``.
    feature_names
        ``[F]``.
    covariates
        By tensor name, N rows each.
    observed
        Observations in the data's units, ``[N, F]``; None where those are ``x``.
    in_data_units
        From what the model draws, ``[B, F]``, to the data's units.
    clusters
        Gives the observations' clusters, ``[N]``.
    batches
        Names of the observations' batches, ``[N]``, or None.
    """

    model: LatentMixtureModel
    guide: Any
    x: Rows
    feature_names: NDArray[np.str_]
    covariates: Mapping[str, Covariate]
    clusters: Callable[[], NDArray[np.int64]]
    batches: NDArray[np.str_] | None = None
    observed: Tensor | None = None
    in_data_units: Callable[[Tensor], NDArray[np.floating[Any]]] = field(
        default=lambda values: values.float().cpu().numpy(), repr=False
    )

    @classmethod
    def of(
        cls,
        model: Any,
        data: Any = None,
        *,
        indices: Any = None,
        guide: Any = None,
        covariates: Mapping[str, Covariate] | None = None,
    ) -> ObservedFit:
        """Bring a fit and its data together; see :func:`pyro_vmm.ppc.check` for what they may be.

        Raises
        ------
        UserError
            For a model of another kind, data that it cannot read or that are missing, or an argument that this kind of
            model does not take.
        """
        bare = isinstance(model, LatentMixtureModel)
        if not bare and (guide is not None or covariates is not None):
            raise UserError(f"{type(model).__name__} has its own guide and covariates: leave guide and covariates out.")
        if not isinstance(model, SingleCellVMM) and indices is not None:
            raise UserError(
                "indices chooses cells of a SingleCellVMM: for other models give the rows, as in data[indices]."
            )
        if isinstance(model, SingleCellVMM):
            return cls._of_cells(model, data, indices)
        if not bare and not isinstance(model, VMM):
            raise UserError(
                f"model is a {type(model).__name__}: give a fitted VMM or SingleCellVMM, or a LatentMixtureModel and its guide."
            )
        if data is None:
            raise UserError(f"{type(model).__name__} keeps no data: give the observations to check it on, data [N, F].")
        return cls._of_tensors(model, guide, data, covariates or {}) if bare else cls._of_arrays(model, data)

    @classmethod
    def _of_arrays(cls, vmm: VMM, data: Any) -> ObservedFit:
        x = vmm._observations(data)
        names = getattr(vmm, "feature_names_in_", None)
        return cls(
            vmm.model_,
            vmm.guide_,
            x,
            _numbered(x.shape[1]) if names is None else np.asarray(names, dtype=np.str_),
            {},
            clusters=lambda: vmm.predict(data),
            # Standardising and going back would leave rounding errors where the data have zeros.
            observed=torch.tensor(validate_array(data, minimum_observations=1, dtype=vmm.feature_mean_.dtype.type))
            if vmm.standardize
            else None,
            in_data_units=vmm._in_data_units,
        )

    @classmethod
    def _of_cells(cls, model: SingleCellVMM, adata: Any, indices: Any) -> ObservedFit:
        cells = model._read(adata, indices)
        if not len(cells.cell_names):
            raise UserError("indices choose no cell: choose at least one.")
        names = np.asarray(model.batch_categories, dtype=np.str_)
        return cls(
            model.module,
            model.guide,
            SparseRows(cells.counts),
            model.gene_names,
            model.encoding.tensors(cells),
            clusters=lambda: model.predict(adata, indices),
            batches=None if model.setup.batch_key is None else names[cells.batch],
        )

    @classmethod
    def _of_tensors(
        cls, model: LatentMixtureModel, guide: Any, data: Any, covariates: Mapping[str, Covariate]
    ) -> ObservedFit:
        dtype = next((value.dtype for value in model.parameters()), torch.float32)
        x = torch.tensor(validate_array(data, name="data", minimum_observations=1), dtype=dtype)
        for name, values in covariates.items():
            if len(values) != len(x):
                raise UserError(
                    f"The covariate {name!r} has {len(values)} rows, but data has {len(x)}: give one row an observation."
                )
        if guide is not None:
            check_guide(model.prior, guide)
        batch = covariates.get("batch")

        def clusters() -> NDArray[np.int64]:
            _check_guide(guide, "by='cluster'")
            return Evaluation(model, guide).responsibilities(InMemory(x, covariates)).argmax(1)

        return cls(
            model,
            guide,
            x,
            _numbered(x.shape[1]),
            covariates,
            clusters=clusters,
            batches=None if batch is None or batch.ndim != 2 else batch.to("cpu").argmax(1).numpy().astype(np.str_),
        )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def device(self) -> torch.device:
        """Where the model's parameters live."""
        values = chain(self.model.parameters(), self.model.buffers())
        return next((value.device for value in values), torch.device("cpu"))

    def observed_blocks(self) -> Iterator[NDArray[np.floating[Any]]]:
        """The observations in the data's units, a block ``[B, F]`` at a time."""
        for rows in self._rows():
            if self.observed is None:
                yield dense_rows(self.x, rows, torch.device("cpu")).float().numpy()
            else:
                yield self.observed[rows].numpy()

    def replicated_blocks(
        self, source: Source, seed: int, replicate: int
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.floating[Any]]]]:
        """Latents ``[B, D]`` and replicated observations ``[B, F]`` in the data's units, a block at a time.

        The numbers are a function of seed, source, replicate and block alone, not of how many replicates are drawn; the
        caller's stream of random numbers is left alone.
        """
        if source == "posterior":
            _check_guide(self.guide, "source='posterior'")
        for block, rows in enumerate(self._rows()):
            entropy = np.random.SeedSequence([seed, SOURCES.index(source), replicate, block]).generate_state(
                1, np.uint64
            )
            yield self._draw(rows, source, int(entropy[0] >> 1))

    def _rows(self) -> tuple[Tensor, ...]:
        return torch.arange(len(self)).split(ROWS_AT_ONCE)

    def _draw(self, rows: Tensor, source: Source, seed: int) -> tuple[NDArray[np.float32], NDArray[np.floating[Any]]]:
        device = self.device
        given = {name: dense_rows(values, rows, device) for name, values in self.covariates.items()}
        guide = self.guide if self.guide is not None else torch.nn.Identity()
        with (
            OwnRandomNumbers(seed, device),
            usual_settings(),
            torch.no_grad(),
            evaluation_mode(self.model),
            evaluation_mode(guide),
        ):
            story = self.model.fitted
            if source == "posterior":
                latents = poutine.trace(guide.forward).get_trace(dense_rows(self.x, rows, device), **given)
                story = poutine.replay(story, trace=latents)
            nodes = poutine.trace(story).get_trace(num_observations=len(rows), **given).nodes
        z: NDArray[np.float32] = nodes["z"]["value"].float().cpu().numpy()
        return z, self.in_data_units(nodes["x"]["value"])


def _check_guide(guide: Any, what: str) -> None:
    if guide is None:
        raise UserError(f"{what} needs the guide: give guide=, or check draws from the prior with source='prior'.")


def _numbered(num_features: int) -> NDArray[np.str_]:
    return np.array([f"feature_{place}" for place in range(num_features)], dtype=np.str_)
