"""Replicates as ArviZ takes them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.data.arrays import listed
from pyro_vmm.errors import UserError
from pyro_vmm.ppc.checking import check_draws
from pyro_vmm.ppc.observing import Observed, observe
from pyro_vmm.ppc.replicates import Source, replicated_blocks
from pyro_vmm.process_lock import PROCESS_LOCK

if TYPE_CHECKING:
    from arviz import InferenceData


def to_inference_data(
    model: Any,
    data: Any = None,
    num_replicates: int = 100,
    seed: int = 0,
    *,
    features: Sequence[str] | None = None,
    indices: Any = None,
    guide: Any = None,
    covariates: Mapping[str, Tensor] | None = None,
) -> InferenceData:
    """Data, replicates and latents as an ``arviz.InferenceData``, of one chain with a draw a replicate.

    Groups: ``observed_data`` (``x [N, F]``), ``posterior`` and ``prior`` (``z [1, R, N, D]``), ``posterior_predictive`` and
    ``prior_predictive`` (``x [1, R, N, F]``); dimensions ``observation``, ``feature``, ``latent``. The replicates are those of
    :func:`~pyro_vmm.ppc.replicate` with the same seed.

    Everything is held in memory: choose ``features``, and rows, where data are large.

    Parameters
    ----------
    model, data, num_replicates, seed, indices, guide, covariates
        As for :func:`~pyro_vmm.ppc.check`.
    features
        Names of the features wanted (a data frame's columns, genes, ``"feature_0"``, ...); None for all.

    Raises
    ------
    UserError
        If ArviZ is not installed, for an unknown feature, and as :func:`~pyro_vmm.ppc.check` does.

    Examples
    --------
    >>> arviz.plot_ppc(ppc.to_inference_data(vmm, x, num_replicates=20))                 # doctest: +SKIP
    """
    arviz = _arviz()
    num_replicates, seed = check_draws(num_replicates, "posterior", seed)
    seen = observe(model, data, indices=indices, guide=guide, covariates=covariates)
    columns = _columns(seen, features)
    observed = np.concatenate([x[:, columns] for x in seen.in_data_units()])
    posterior_z, posterior_x = _stacked(seen, "posterior", seed, num_replicates, columns)
    prior_z, prior_x = _stacked(seen, "prior", seed, num_replicates, columns)
    return arviz.from_dict(
        posterior={"z": posterior_z},
        posterior_predictive={"x": posterior_x},
        prior={"z": prior_z},
        prior_predictive={"x": prior_x},
        observed_data={"x": observed},
        coords={"feature": seen.feature_names[columns]},
        dims={"x": ["observation", "feature"], "z": ["observation", "latent"]},
    )


def _arviz() -> Any:
    try:
        with PROCESS_LOCK, warnings.catch_warnings():
            # Said by ArviZ once a day, of its next version; the extra asks for this one.
            warnings.filterwarnings("ignore", r"\s*ArviZ is undergoing", FutureWarning)
            import arviz
    except ImportError:
        raise UserError("to_inference_data needs ArviZ: install it, as with pip install 'pyro-vmm[arviz]'.") from None
    if not hasattr(arviz, "InferenceData"):
        raise UserError(f"ArviZ {arviz.__version__} has no InferenceData: install pip install 'arviz<1'.")
    return arviz


def _columns(seen: Observed, features: Sequence[str] | None) -> NDArray[np.int64]:
    if features is None:
        return np.arange(len(seen.feature_names))
    if isinstance(features, str):
        raise UserError(f"features must be a list of names, not one name: give [{features!r}].")
    places = {str(name): place for place, name in enumerate(seen.feature_names)}
    for name in features:
        if str(name) not in places:
            raise UserError(f"There is no feature {name!r}: choose among {listed(seen.feature_names.tolist())}.")
    return np.array([places[str(name)] for name in features], dtype=np.int64)


def _stacked(
    seen: Observed, source: Source, seed: int, num_replicates: int, columns: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Latents ``[1, R, N, D]`` and replicates ``[1, R, N, columns]``."""
    latents, values = [], []
    for number in range(num_replicates):
        z, x = zip(*replicated_blocks(seen, source, seed, number), strict=True)
        latents.append(np.concatenate(z))
        values.append(np.concatenate([block[:, columns] for block in x]))
    return np.stack(latents)[None], np.stack(values)[None]
