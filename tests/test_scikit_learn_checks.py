"""scikit-learn's own checks of an estimator."""

from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from pyro_vmm import VMM

TAKEN_FOR_A_CLASSIFIER = "the check takes whatever has predict_proba for a classifier; test_vmm.py tests sparse input"
CANNOT_HOLD = {
    "check_estimator_sparse_array": TAKEN_FOR_A_CLASSIFIER,
    "check_estimator_sparse_matrix": TAKEN_FOR_A_CLASSIFIER,
}


def small() -> VMM:
    return VMM(
        latent_dim=2,
        num_components=5,
        likelihood="normal",
        hidden=(16,),
        standardize=True,
        learning_rate=1e-2,
        prior_learning_rate=1e-2,
        max_epochs=60,
        batch_size=64,
        validation_fraction=0.0,
        device="cpu",
        random_state=0,
    )


def expected_failures(estimator: Any) -> dict[str, str]:
    return CANNOT_HOLD


@parametrize_with_checks([small()], expected_failed_checks=expected_failures)
def test_scikit_learn(estimator: VMM, check: Any) -> None:
    check(estimator)
