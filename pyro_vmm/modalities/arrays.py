"""Arrays and images: rows of numbers, with or without names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.data import check_range, validate_array
from pyro_vmm.data.array_scan import ArrayRows, checked_blocks, sample_of, type_of_values, values_of
from pyro_vmm.data.standardization import FAR_OUTLIERS, moments, moments_of_blocks, warn_of_merged_values
from pyro_vmm.data.stored_arrays import StoredArray, stored_array
from pyro_vmm.data.supports import check_whole_numbers
from pyro_vmm.errors import Option, UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import Likelihood
from pyro_vmm.modalities.array_input import ArrayInput
from pyro_vmm.modalities.array_networks import (
    array_decoder,
    array_domain,
    array_encoder,
    array_likelihood,
    sees_log1p,
)
from pyro_vmm.modalities.base import Modality
from pyro_vmm.modalities.components import make_prior
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks import Log1pInput
from pyro_vmm.networks.low_precision import lower_precision
from pyro_vmm.observations import InMemory, Observations, OnDisk
from pyro_vmm.observations.on_disk import ROWS_IN_A_BLOCK
from pyro_vmm.option_checks import check_whole_number
from pyro_vmm.options import ARRAYS, OF_ARRAYS
from pyro_vmm.priors import PseudoInputs
from pyro_vmm.priors.pseudo_inputs import Domain
from pyro_vmm.process_settings import built_in_single_precision

FEATURE_DTYPES = {"float32": np.float32, "float64": np.float64}
"""Types of the mean and the scale of features."""
BYTES_IN_A_BLOCK = 2**16
"""At most, of neighbours in a file that are read together, where a single row has no more."""


@dataclass(frozen=True, eq=False)
class Arrays(Modality):
    """Tables, images and counts, ``[N, F]``; see :class:`pyro_vmm.VMM` for the options.

    Attributes
    ----------
    mean, scale
        What is subtracted from the features and divides them, ``[F]`` each; 0 and 1 where they are left as they are. They
        are float64 where float32 is too coarse for the values of a feature.
    names
        Of the features, or None.
    """

    mean: NDArray[np.floating[Any]]
    scale: NDArray[np.floating[Any]]
    names: Sequence[str] | None = None

    name = ARRAYS
    model_in_words, loaded_by = "a model of arrays", "VMM.load(directory)"
    own_options = OF_ARRAYS
    input = ArrayInput

    @classmethod
    def learn(
        cls, data: Any, options: Mapping[str, Any], names: Sequence[str] | None = None
    ) -> tuple[Self, Observations]:
        """Read ``data [N, F]``, two observations or more; ``names`` are of their features."""
        # None: float64 where float32 would make close values equal, so that they are centred before they are rounded.
        stored = stored_array(data)
        dtype = None if stored is None else type_of_values(stored)
        x: Any = validate_array(data, dtype=None) if stored is None else stored
        features = x.shape[1]
        likelihood = array_likelihood(options, features)
        standardize = options["standardize"]
        if standardize and (likelihood.whole_numbers or sees_log1p(likelihood)):
            raise UserError(
                "standardize=True would turn counts into fractions, but ",
                Option("likelihood", _name_of(likelihood, options)),
                " is for counts: leave it False.",
            )
        mean: NDArray[Any] = np.zeros(features, np.float32)
        scale: NDArray[Any] = np.ones(features, np.float32)
        if standardize:
            mean, scale = moments(x) if dtype is None else moments_of_blocks(lambda: values_of(x, dtype))
        modality = cls(options, mean, scale, names)
        return modality, InMemory(modality._values(x)) if dtype is None else modality._on_disk(x, dtype)

    def read(self, data: Any) -> Observations:
        """Read ``data [N, F]``, one observation or more."""
        stored = stored_array(data)
        x: Any = validate_array(data, minimum_observations=1, dtype=self.read_as) if stored is None else stored
        if x.shape[1] != self.num_features:
            raise UserError(
                f"X has {x.shape[1]} features, but the fit has {self.num_features}: give the same features."
            )
        if stored is not None:
            return self._on_disk(stored, self.read_as or type_of_values(stored, 1))
        return InMemory(self._values(x), given=x if self.options["standardize"] else None)

    @property
    def read_as(self) -> type[np.float32] | type[np.float64] | None:
        """Type in which other observations are read: that of what they are centred by, or what their values need (None).

        A few rows alone do not show whether float32 is too coarse for a feature.
        """
        return self.mean.dtype.type if self.options["standardize"] else None

    def _values(self, x: NDArray[Any]) -> Tensor:
        """Checked observations ``[N, F]`` as the model takes them."""
        likelihood = self._likelihood
        if self.options["standardize"]:
            standardized = self._standardized(x)
            if x.dtype == np.float64:
                warn_of_merged_values(standardized, self.names, FAR_OUTLIERS)
            x = standardized.astype(np.float32)
        elif x.dtype == np.float64:
            given, x = x, validate_array(x, minimum_observations=1)
            warn_of_merged_values(given, self.names, _how_to_centre(likelihood))
        self._check_support(x)
        # torch warns of memory that it must not write to, though nothing here would.
        return torch.from_numpy(x if x.flags.writeable else x.copy())

    def _on_disk(self, array: StoredArray, dtype: type[np.float32] | type[np.float64]) -> OnDisk:
        """Observations that stay where they are, after a look at all of them."""

        def change(rows: NDArray[Any]) -> NDArray[np.float32]:
            values = rows.astype(dtype, copy=False)
            return (self._standardized(values) if self.options["standardize"] else values).astype(
                np.float32, copy=False
            )

        for first, block in checked_blocks(array, dtype):
            self._check_support(change(block), first)
        if dtype is np.float64:
            sample = sample_of(array).astype(np.float64)
            advice = FAR_OUTLIERS if self.options["standardize"] else _how_to_centre(self._likelihood)
            warn_of_merged_values(
                self._standardized(sample) if self.options["standardize"] else sample, self.names, advice
            )
        bytes_a_row = np.dtype(np.float32).itemsize * array.shape[1]
        return OnDisk(
            ArrayRows(array, change), rows_in_a_block=max(1, min(ROWS_IN_A_BLOCK, BYTES_IN_A_BLOCK // bytes_a_row))
        )

    def _standardized(self, x: NDArray[Any]) -> NDArray[np.float64]:
        standardized: NDArray[np.float64] = (x.astype(np.float64, copy=False) - self.mean) / self.scale
        return standardized

    def _check_support(self, x: NDArray[Any], first_row: int = 0) -> None:
        """Raise :class:`UserError` for values that the likelihood does not take."""
        likelihood = self._likelihood
        name, whole = _name_of(likelihood, self.options), likelihood.whole_numbers
        check_range(x, *likelihood.data_range, likelihood_name=name, whole_numbers=whole, first_row=first_row)
        if whole:
            check_whole_numbers(x, name, first_row)

    @cached_property
    def _likelihood(self) -> Likelihood:
        """One that nothing is learned by: it says which values the data may take."""
        return array_likelihood(self.options, self.num_features)

    @built_in_single_precision
    def build(
        self, observations: Observations | None, num_components: int
    ) -> tuple[LatentMixtureModel, AmortizedNormal]:
        """Make the model and its guide; zeros take the place of observations that are not given."""
        options, features = self.options, self.num_features
        check_whole_number(num_components, "num_components")
        likelihood = array_likelihood(options, features)
        log1p = sees_log1p(likelihood)
        seen = None
        if observations is not None:
            seen = observations.minibatch(torch.arange(min(2, len(observations))), torch.device("cpu")).x
        encoder = array_encoder(options, features, seen.log1p() if log1p and seen is not None else seen)
        guide = AmortizedNormal(Log1pInput(encoder) if log1p else encoder, options["covariance"])
        decoder = array_decoder(options, features, likelihood.outputs_per_feature * features)

        def pseudo_inputs() -> PseudoInputs:
            domain = array_domain(options, likelihood)
            return PseudoInputs(self._initial_pseudo_inputs(observations, num_components, domain), domain=domain)

        array_domain(options, likelihood)  # refused whatever the prior
        model = LatentMixtureModel(make_prior(options, num_components, guide, pseudo_inputs), decoder, likelihood)
        if options["low_precision"]:
            lower_precision(guide.encoder, spare_the_last=True)
            lower_precision(model.decoder)
        return model, guide

    def _initial_pseudo_inputs(self, observations: Observations | None, number: int, domain: Domain) -> Tensor:
        if observations is None:
            return torch.full((number, self.num_features), 0.0 if isinstance(domain, str) else float(domain[0]))
        if len(observations) < number:
            raise UserError(
                f"is more than the {len(observations)} observations that pseudo-inputs start from: choose at most "
                f"{len(observations)}, or ",
                Option("prior", "gaussian-mixture"),
                ".",
                option=Option("num_components", number),
            )
        return observations.minibatch(torch.randperm(len(observations))[:number], torch.device("cpu")).x

    @property
    def num_features(self) -> int:
        """``F``."""
        return len(self.mean)

    @property
    def feature_names(self) -> NDArray[np.str_] | None:
        """``[F]``, if they have any."""
        return None if self.names is None else np.asarray(self.names, dtype=np.str_)

    def in_data_units(self, values: Tensor) -> NDArray[np.floating[Any]]:
        """Undo the standardisation of ``values [B, F]``."""
        plain: NDArray[np.floating[Any]] = values.float().cpu().numpy()
        return plain * self.scale + self.mean if self.options["standardize"] else plain

    @property
    def num_layers(self) -> int:
        """Those that ``hidden`` names."""
        hidden = self.options["hidden"]
        return len(hidden) if isinstance(hidden, tuple) else 0

    def to_dict(self) -> dict[str, Any]:
        """Mean, scale and their type, and the names of the features."""
        return super().to_dict() | {
            "dtype": self.mean.dtype.name,
            "names": None if self.names is None else [str(name) for name in self.names],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], options: Mapping[str, Any]) -> Self:
        """Read back what :meth:`to_dict` gave."""
        dtype = FEATURE_DTYPES[values["dtype"]]
        mean, scale = (np.asarray(values[name], dtype=dtype) for name in ("mean", "scale"))
        names = values["names"]
        if mean.ndim != 1 or not len(mean) or scale.shape != mean.shape or (names and len(names) != len(mean)):
            raise ValueError("sizes differ")
        return cls(options, mean, scale, names or None)


def _name_of(likelihood: Likelihood, options: Mapping[str, Any]) -> str:
    named = options["likelihood"]
    return named if isinstance(named, str) else type(likelihood).__name__


def _how_to_centre(likelihood: Likelihood) -> str:
    """What to do about values that float32 makes equal."""
    if likelihood.data_range == (-np.inf, np.inf):
        return "subtract the column's mean first, as standardize=True does"
    return "rescale the column"
