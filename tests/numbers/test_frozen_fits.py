"""Ten fits end in the numbers that they ended in before: a change of the code that should not change numbers does not."""

import json

import pytest
from frozen_fits import FITS, STORED, environment

FROZEN = json.loads(STORED.read_text())

# A fit of 200 steps under another processor or version of torch rounds otherwise and goes its own way.
ELBO_TOLERANCE = 0.01


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FITS)
def test_a_fit_ends_in_the_numbers_that_were_frozen(name: str) -> None:
    learned = FITS[name]()
    assert learned.elbo == pytest.approx(FROZEN["elbo"][name], rel=ELBO_TOLERANCE)
    frozen = FROZEN["sha256"].get(environment())
    if frozen is None:
        pytest.skip(
            f"the ELBO holds; no hash was frozen for {environment()}: python tests/numbers/frozen_fits.py --write"
        )
    assert learned.sha256 == frozen[name]
