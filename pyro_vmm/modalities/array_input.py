"""Built-in images, files of arrays and tables, for models of arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from pyro_vmm.data import load_input
from pyro_vmm.data.dataset_on_disk import dataset_on_disk, is_better_left_on_disk
from pyro_vmm.data.other_formats import check_format
from pyro_vmm.data.stored_arrays import stored_array
from pyro_vmm.modalities.inputs import Input
from pyro_vmm.observations import Observations
from pyro_vmm.options import HOW_DATA_ARE_READ, WHERE_ARRAYS_ARE

DIGITS = {
    # 8 x 8 blocks of 4 x 4 binary pixels: the likelihood of the bitmaps that the grey values were counted from.
    "likelihood_options": {"pixels_per_feature": 16},
    "batch_size": 128,
    "learning_rate": 1e-3,
    "max_epochs": 200,
}
# The networks first: components that die before there is an embedding take their observations to wrong neighbours.
MNIST = {"kl_warmup_steps": 5_000, "prior_rest_steps": 5_000, "max_epochs": 60}
DEFAULTS: dict[str, dict[str, Any]] = {"digits": DIGITS, "mnist": MNIST, "fashion-mnist": MNIST | {"latent_dim": 30}}


@dataclass(eq=False)
class ArrayInput(Input):
    """A :class:`~pyro_vmm.data.Dataset`.

    Attributes
    ----------
    likelihood
        The one to use where the user names none.
    image_shape
        Of observations that are images.
    """

    likelihood: str = "normal"
    image_shape: tuple[int, int] | None = None

    described = "arrays and images"
    flags = (*HOW_DATA_ARE_READ, *WHERE_ARRAYS_ARE)
    advice_on_labels = "fit with --label-column {name}"
    elbo_surgery = True

    @classmethod
    def recognises(cls, spec: str) -> bool:
        """Whatever is not of a format that is not read: the reader lists what there is."""
        check_format(Path(spec))
        return True

    @classmethod
    def read(cls, spec: str, arguments: Mapping[str, Any]) -> Self:
        """Read a built-in data set or a file; see :func:`~pyro_vmm.data.load_input`."""
        label_column = arguments.get("label_column")
        if arguments.get("from_disk"):
            found = dataset_on_disk(spec, label_column)
        else:
            found = load_input(spec, data_root=arguments.get("data_root"), label_column=label_column)
        return cls(
            spec,
            found.x,
            found.ids,
            columns={} if found.labels is None else {found.label_name or "label": found.labels},
            names_read=[name for name in found.feature_names.tolist() if name != found.label_name],
            feature_names=None if found.image_shape else found.feature_names.tolist(),
            likelihood=found.likelihood,
            image_shape=found.image_shape,
        )

    @classmethod
    def settled(
        cls, spec: str, arguments: Mapping[str, Any], noted: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """An array of a file that takes more than half of the free memory stays there, if it can."""
        from_disk = arguments.get("from_disk") or (
            noted.get("from_disk") if noted is not None else is_better_left_on_disk(Path(spec))
        )
        return {**arguments, "from_disk": bool(from_disk)}

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The likelihood, what suits built-in images, and the shape of images or the scale of columns."""
        options = {"likelihood": self.likelihood} | DEFAULTS.get(self.spec, {})
        if given.get("likelihood", self.likelihood) != self.likelihood:
            options.pop("likelihood_options", None)
        if self.image_shape is not None:
            return options | {"image_shape": self.image_shape}
        return options | {"standardize": given.get("likelihood", self.likelihood) in ("normal", "student-t")}

    def sha256(self, observations: Observations) -> str:
        """SHA-256 of the values as they were read; of those on disk that of the observations."""
        if stored_array(self.data) is not None:
            return observations.fingerprint()
        return hashlib.sha256(np.ascontiguousarray(self.data).tobytes()).hexdigest()
