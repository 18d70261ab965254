"""Test suites to inherit: what every prior, likelihood, guide, modality and data source must do, one's own included.

They need pytest.

>>> class TestMyPrior(PriorContract):                                                # doctest: +SKIP
...     def make_prior(self):
...         return MyPrior(latent_dim=2)
"""

import pytest

pytest.register_assert_rewrite(
    "pyro_vmm.testing.guide_contract",
    "pyro_vmm.testing.likelihood_contract",
    "pyro_vmm.testing.modality_contract",
    "pyro_vmm.testing.observations_contract",
    "pyro_vmm.testing.prior_contract",
)

from pyro_vmm.testing.guide_contract import GuideContract  # noqa: E402
from pyro_vmm.testing.likelihood_contract import LikelihoodContract  # noqa: E402
from pyro_vmm.testing.modality_contract import ModalityContract  # noqa: E402
from pyro_vmm.testing.observations_contract import ObservationsContract  # noqa: E402
from pyro_vmm.testing.prior_contract import PriorContract  # noqa: E402

__all__ = ["GuideContract", "LikelihoodContract", "ModalityContract", "ObservationsContract", "PriorContract"]
