"""What a user names on the command line, read for a modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from pyro_vmm.clustering.row_blocks import RowBlocks
from pyro_vmm.observations import Groups, Observations
from pyro_vmm.options import Entry

if TYPE_CHECKING:
    import numpy as np

    from pyro_vmm.modalities.base import Modality


@dataclass(eq=False)
class Input(ABC):
    """A data set with the names that results are told in; a modality's ``input`` is a subclass.

    ``pyro-vmm fit`` reads it, ``score`` and ``report`` read it again. A subclass says what it recognises and how it is read.

    Attributes
    ----------
    spec
        What the user called it.
    data
        As the modality reads them, N observations.
    ids
        Name of each observation, ``[N]``, text, all different.
    columns
        Known labels of the observations by name, ``[N]`` each. They are read for scores and pictures, and never to fit.
    names_read
        What the fit reads by name, features or covariates: a score against one of them means nothing.
    feature_names
        What pictures call the features, ``[F]``; None for what the fit calls them.
    setup
        Where in the input the data were found, by option, ready for JSON: a fit that goes on must have the same.
    rows_sha256
        What tells whether other rows have the same names as these; None where nobody asks.
    described
        What messages and help call such an input.
    flags
        Flags of ``pyro-vmm fit`` that say how it is read.
    advice_on_labels
        How to fit without a column that is to be a label, which is called ``{name}``.
    further_results
        Name of the file that :meth:`write_results` writes; empty for none.
    elbo_surgery
        Whether ``score`` takes the ELBO of the observations held out apart.
    """

    spec: str
    data: Any
    ids: NDArray[np.str_]
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    names_read: Sequence[str] = ()
    feature_names: Sequence[str] | None = None
    setup: Mapping[str, Any] = field(default_factory=dict)
    rows_sha256: str | None = None

    described: ClassVar[str] = "another kind of input"
    flags: ClassVar[tuple[Entry, ...]] = ()
    advice_on_labels: ClassVar[str] = "fit without it"
    further_results: ClassVar[str] = ""
    elbo_surgery: ClassVar[bool] = False

    # ---- reading -----------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def recognises(cls, spec: str) -> bool:
        """Whether this reads what the user has named, told from the name alone.

        Raises
        ------
        UserError
            For what nothing reads, with what to do about it.
        """

    @classmethod
    @abstractmethod
    def read(cls, spec: str, arguments: Mapping[str, Any]) -> Self:
        """Read the input to fit.

        Parameters
        ----------
        spec
            What the user has named.
        arguments
            Values of :attr:`flags` by the flags' names; None or False for those that were not given.

        Raises
        ------
        UserError
            For an input that cannot be read.
        """

    @classmethod
    def settled(
        cls, spec: str, arguments: Mapping[str, Any], noted: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """``arguments`` as :meth:`read` is given them, with what they leave to this machine; they are noted with the fit.

        Parameters
        ----------
        spec, arguments
            As for :meth:`read`.
        noted
            Those of the fit to go on with, if there is one.
        """
        return arguments

    @classmethod
    def read_again(cls, spec: str, arguments: Mapping[str, Any], modality: Modality) -> Self:
        """Read the input of a fit that there is, as ``score`` does; ``modality`` is the fit's."""
        return cls.read(spec, arguments)

    @classmethod
    def read_beside(cls, folder: Path, spec: str, arguments: Mapping[str, Any], modality: Modality) -> Self:
        """As :meth:`read_again`, for a report: from what the fit has left in its folder, where that is enough."""
        return cls.read_again(spec, arguments, modality)

    def sha256(self, observations: Observations) -> str:
        """What tells whether the input is the one that was fitted; ``observations`` are what was made of it."""
        return observations.fingerprint()

    # ---- fitting -----------------------------------------------------------------------------------------------------

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options that depend on the input; those that are ``given`` take precedence."""
        return {}

    def learn(self, modality: type[Modality], options: Mapping[str, Any]) -> tuple[Modality, Observations]:
        """Have the modality read the data to fit."""
        return modality.learn(self.data, options)

    @property
    def results_file(self) -> str:
        """:attr:`further_results`, unless another file takes its place."""
        return self.further_results

    # ---- looking at a fit --------------------------------------------------------------------------------------------

    def batches(self, column: str) -> Groups | None:
        """Batches of the observations by a column, ``[N]``; None where such an input has none.

        Raises
        ------
        UserError
            For a column that cannot be read.
        """
        return None

    def write_results(
        self,
        folder: Path,
        modality: Modality,
        num_clusters: int,
        latents: NDArray[np.float32],
        probabilities: RowBlocks,
    ) -> None:
        """Write :attr:`results_file` into the fit's folder; called where there are any.

        Parameters
        ----------
        folder
            Of the fit.
        modality
            What it has learned of the data, and its options.
        num_clusters
            Clusters in use.
        latents, probabilities
            Posterior means ``[N, D]``, and responsibilities of the clusters ``[N, K]``, read a block of rows at a time.
        """
        raise NotImplementedError
