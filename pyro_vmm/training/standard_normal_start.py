"""How a mixture is made ready for a training whose first steps are under a standard normal."""

from pyro_vmm.priors import MixturePrior, Prior

SCALE_UNDER_STANDARD_NORMAL = 1.0 / 3.0
"""Standard deviation from which components then start: as wide as all latents together, they would overlap and merge."""


def make_ready_for_standard_normal(prior: Prior) -> None:
    """Narrow the components of a new mixture, to be done once before such a training; other priors need nothing."""
    if isinstance(prior, MixturePrior):
        prior.set_component_scale(SCALE_UNDER_STANDARD_NORMAL)
