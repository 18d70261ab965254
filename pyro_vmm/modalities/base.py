"""What data are: how they are read, what models them, and what their numbers mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pyro_vmm.evaluation import Evaluation
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.modalities.inputs import Input
from pyro_vmm.modalities.length import default_epochs
from pyro_vmm.modalities.profiles import ClusterProfiles
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.observations import Observations, num_minibatches
from pyro_vmm.options import COMMON, Entry, defaults
from pyro_vmm.priors import Prior
from pyro_vmm.random_states import draw_seed


@dataclass(frozen=True, eq=False)
class Modality(ABC):
    """A kind of data, with what was learned of those that are fitted; a subclass is one file.

    A subclass adds what it learns as further fields of its dataclass, plain values or NumPy arrays.
    :class:`pyro_vmm.testing.ModalityContract` tests one of your own, and :func:`pyro_vmm.modalities.register` makes it known.

    Attributes
    ----------
    options
        All options by name: those of :data:`pyro_vmm.options.COMMON` and the modality's own.
    name
        What a stored model calls the modality.
    noun, feature_noun, model_in_words, loaded_by
        What messages call the observations, their features and a stored model, and what loads this.
    own_options
        Options that other modalities do not have.
    default_options
        Defaults that differ from those in :data:`pyro_vmm.options.COMMON`.
    least_epochs, most_epochs
        Bounds of the default number of epochs.
    input
        Reads what a user names on the command line; None where the command does not read such data.
    """

    options: Mapping[str, Any]

    name: ClassVar[str]
    noun: ClassVar[str] = "observations"
    feature_noun: ClassVar[str] = "features"
    model_in_words: ClassVar[str] = "a model of another modality"
    loaded_by: ClassVar[str] = "pyro_vmm.fit.Fit.load(directory)"
    own_options: ClassVar[tuple[Entry, ...]] = ()
    default_options: ClassVar[Mapping[str, Any]] = {}
    least_epochs: ClassVar[int] = 40
    most_epochs: ClassVar[int] = 400
    input: ClassVar[type[Input] | None] = None

    @classmethod
    def entries(cls) -> tuple[Entry, ...]:
        """Every option that a fit of this modality has."""
        return (*COMMON, *cls.own_options)

    @classmethod
    def with_defaults(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options given, and the defaults of all others."""
        return defaults(cls.entries()) | dict(cls.default_options) | dict(options)

    # ---- reading -----------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def learn(cls, data: Any, options: Mapping[str, Any]) -> tuple[Self, Observations]:
        """Read the data to fit, and learn from them how others will be read.

        Raises
        ------
        UserError
            For data or options that cannot be used.
        """

    @abstractmethod
    def read(self, data: Any) -> Observations:
        """Read other data of the same kind.

        Raises
        ------
        UserError
            For data that the model cannot take.
        """

    # ---- the model ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def build(
        self, observations: Observations | None, num_components: int
    ) -> tuple[LatentMixtureModel, AmortizedNormal]:
        """Make the model and its guide, drawing initial weights from torch's global generator.

        Parameters
        ----------
        observations
            Those trained on, from which pseudo-inputs and other values start; None for a model about to be loaded.
        num_components
            Truncation ``K`` of the mixture.
        """

    def settle(self, num_observations: int, new_prior: Prior | None) -> dict[str, Any]:
        """The options, with those that are left to the data decided.

        Parameters
        ----------
        num_observations
            How many are trained on.
        new_prior
            That of a model which is about to be trained first; None for one that goes on.
        """
        settled = dict(self.options)
        if settled["max_epochs"] is None:
            least, most = self.least_epochs, self.most_epochs
            settled["max_epochs"] = default_epochs(num_observations, settled["batch_size"], least=least, most=most)
        return settled

    def draw_seed(self) -> int:
        """The seed of a training: another one each time where ``random_state`` is None or a generator."""
        return draw_seed(self.options["random_state"])

    def steps_per_epoch(self, num_observations: int) -> int:
        """Minibatches in an epoch of so many observations."""
        return num_minibatches(num_observations, self.options["batch_size"])

    @property
    def num_layers(self) -> int:
        """Hidden layers that the options claim; a stored model has weights of each."""
        return 0

    # ---- what numbers mean -------------------------------------------------------------------------------------------

    @property
    def feature_names(self) -> NDArray[np.str_] | None:
        """Of the F features, if they have any."""
        return None

    def in_data_units(self, values: Tensor) -> NDArray[np.floating[Any]]:
        """Observations ``[B, F]`` as the model has them, in the units in which they were given."""
        return values.float().cpu().numpy()

    def profiles(
        self, evaluation: Evaluation, observations: Observations, clusters: NDArray[np.int64]
    ) -> ClusterProfiles | None:
        """What clusters ``[N]`` of the observations are like; None where the model's decoded centres say it."""
        return None

    # ---- storing -----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What was learned of the data, ready for JSON."""
        learned = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "options"}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in learned.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], options: Mapping[str, Any]) -> Self:
        """Read back what :meth:`to_dict` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            For values of another modality or version.
        """
        return cls(options, **values)
