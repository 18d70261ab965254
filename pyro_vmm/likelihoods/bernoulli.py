"""Black-and-white pixels, alone or counted in blocks."""

from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Size, Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from pyro_vmm.likelihoods.base import Likelihood
from pyro_vmm.option_checks import check_whole_number
from pyro_vmm.shapes import Float, Real


class Bernoulli(Likelihood):
    """``x_f ~ Bernoulli(sigmoid(output_f))``, independent over features.

    Grey values inside (0, 1) are taken as probabilities of ink: their log-likelihood is then the expected one over
    binarised images (the usual cross-entropy). It is no normalised density of grey values: for that see
    :class:`~pyro_vmm.likelihoods.ContinuousBernoulli`.

    Parameters
    ----------
    pixels_per_feature
        How many black-and-white pixels each grey value is the mean of. scikit-learn's digits are 8 x 8 blocks of 4 x 4
        binary pixels: with 16 the log-likelihood is that of the 32 x 32 bitmaps, every pixel of a block sharing its
        probability. Samples are then multiples of 1/16; with 1 they are zeros and ones.

    Raises
    ------
    UserError
        If ``pixels_per_feature`` is no whole number of at least 1.
    """

    data_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __init__(self, pixels_per_feature: int = 1) -> None:
        super().__init__()
        self.pixels_per_feature: int = check_whole_number(pixels_per_feature, "pixels_per_feature")

    def forward(self, outputs: Float[Tensor, "*batch F"], **covariates: Tensor) -> dist.Independent:
        """Logits ``[..., F]`` to a distribution of event shape ``(F,)``."""
        if self.pixels_per_feature == 1:
            return dist.Bernoulli(logits=outputs, validate_args=False).to_event(1)
        return MeanOfBernoullis(outputs, self.pixels_per_feature).to_event(1)


class MeanOfBernoullis(TorchDistribution):
    """The mean of ``total_count`` pixels that share one probability, under the likelihood of the pixels themselves.

    ``log_prob(x) = total_count (x log p + (1 - x) log(1 - p))``: without the binomial coefficient, which is constant.

    Parameters
    ----------
    logits
        Any shape.
    total_count
        Pixels per mean.
    """

    arg_constraints = {"logits": constraints.real}
    support = constraints.unit_interval

    def __init__(self, logits: Tensor, total_count: int) -> None:
        self.logits, self.total_count = logits, total_count
        super().__init__(logits.shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "MeanOfBernoullis":
        """The same distribution with a larger batch."""
        return MeanOfBernoullis(self.logits.expand(batch_shape), self.total_count)

    def log_prob(self, value: Real[Tensor, "*#shape"]) -> Float[Tensor, "*shape"]:
        """Log-likelihood of means in [0, 1], broadcast over the batch."""
        logits, value = torch.broadcast_tensors(self.logits, value)
        return -self.total_count * binary_cross_entropy_with_logits(logits, value, reduction="none")

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        """Draw means, multiples of ``1 / total_count``."""
        with torch.no_grad():
            shape = Size(sample_shape) + self.batch_shape
            return torch.binomial(
                self.logits.new_full(shape, float(self.total_count)), self.logits.sigmoid().expand(shape)
            ) / float(self.total_count)

    @property
    def mean(self) -> Tensor:
        """Probability of ink, the logits' shape."""
        return self.logits.sigmoid()

    @property
    def variance(self) -> Tensor:
        """``p (1 - p) / total_count``, the logits' shape."""
        return self.mean * (1.0 - self.mean) / self.total_count
