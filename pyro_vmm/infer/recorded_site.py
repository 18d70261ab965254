"""The log-density of one observed site, read while an objective is computed."""

from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_vmm.shapes import Float


class RecordedSite(Messenger):
    """Notes the mean log-density of the observed site ``name`` each time that an objective evaluates it; changes nothing.

    Any Pyro objective evaluates the likelihood anyway, so this costs no further pass.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._means: list[Tensor] = []

    @property
    def mean(self) -> Float[Tensor, ""]:
        """Over observations and draws, a scalar without gradient; NaN where nothing was noted."""
        return torch.stack(self._means).mean() if self._means else torch.tensor(float("nan"))

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == self.name and msg["is_observed"]:
            msg["fn"] = _Recorded(msg["fn"], self._means)


class _Recorded(dist.TorchDistribution):
    """A distribution that notes the means of the log-densities it is asked for."""

    arg_constraints: dict[str, Any] = {}

    def __init__(self, base: TorchDistributionMixin, means: list[Tensor]) -> None:
        self._base, self._means = base, means
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        return self._base.support

    @property
    def has_rsample(self) -> bool:
        return bool(self._base.has_rsample)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> "_Recorded":
        return _Recorded(self._base.expand(batch_shape), self._means)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._base.sample(sample_shape)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        return self._base.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        log_prob: Tensor = self._base.log_prob(value)
        self._means.append(log_prob.detach().mean())
        return log_prob
