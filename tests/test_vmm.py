"""The facade for arrays, beyond scikit-learn's own checks."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from torch import nn

from pyro_vmm import VMM, UserError
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import Bernoulli
from pyro_vmm.priors import GaussianMixture, VampMixture
from pyro_vmm.training import CheckpointWriter

OPTIONS: dict[str, Any] = {
    "latent_dim": 2,
    "num_components": 10,
    "likelihood": "normal",
    "hidden": (32,),
    "learning_rate": 1e-2,
    "prior_learning_rate": 3e-3,  # several components a group are left
    "batch_size": 64,
    "max_epochs": 30,
    "standardize": True,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    x, y = make_blobs(300, n_features=6, centers=3, cluster_std=0.5, random_state=1)
    return (100.0 * x + 7.0).astype(np.float32), y


@pytest.fixture(scope="module")
def fitted(blobs: tuple[np.ndarray, np.ndarray]) -> VMM:
    return VMM(**OPTIONS).fit(blobs[0])


def test_separated_blobs_are_told_apart(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = blobs
    assert adjusted_rand_score(y, fitted.predict(x, num_clusters=3)) > 0.95


@pytest.mark.parametrize(("given", "rate"), [(None, 3e-3), (0.02, 0.02)])
def test_the_prior_learns_slower_than_the_networks(
    blobs: tuple[np.ndarray, np.ndarray], given: float | None, rate: float
) -> None:
    made = []

    class Optimizers:
        def step_ended(self, trainer: Any) -> None:
            made.append(trainer.svi.optimizers)

        def epoch_ended(self, trainer: Any) -> None:
            """Nothing more."""

    VMM(**OPTIONS | {"prior_learning_rate": given, "max_epochs": 1}).fit(blobs[0], watchers=[Optimizers()])
    optimizers = made[0]
    rates = [optimizers[name].param_groups[0]["lr"] for name in ("elbo", "prior")]
    assert rates == pytest.approx([1e-2, rate])


def test_clusters_are_numbered_from_the_largest_without_gaps(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    counts = np.bincount(fitted.labels_)
    assert (counts > 0).all()
    assert (np.diff(counts) <= 0).all()
    assert fitted.n_clusters_ == len(counts)
    np.testing.assert_array_equal(fitted.predict(blobs[0]), fitted.labels_)


def test_probabilities_sum_to_one_however_they_are_asked_for(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    # Components that are not joined overlap, so that the mean and the samples of a posterior disagree.
    fitted = deepcopy(fitted).rejoin(blobs[0], merging="none")
    for options in ({}, {"num_samples": 20}, {"num_clusters": 2}):
        proba = fitted.predict_proba(blobs[0], **options)
        np.testing.assert_allclose(proba.sum(1), 1.0, rtol=0, atol=1e-15)
        assert proba.min() >= 0.0
        assert proba.max() <= 1.0
    averaged, at_mean = fitted.predict_proba(blobs[0], num_samples=1000), fitted.predict_proba(blobs[0])
    with torch.no_grad():
        latents = fitted.guide_.posterior(fitted.observe(blobs[0]).observations.x).sample((1000,))
        drawn = fitted.clusters_.arrange(fitted.model_.prior.responsibilities(latents).mean(0).numpy())
    assert np.abs(averaged - drawn).max() < 0.5 * np.abs(at_mean - drawn).max()


def test_components_of_one_gaussian_are_one_cluster(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = blobs
    apart = clone(fitted).set_params(merging="none").fit(x)
    assert apart.n_clusters_ > fitted.n_clusters_ == 3
    assert adjusted_rand_score(y, fitted.labels_) > 0.95
    np.testing.assert_array_equal(apart.transform(x), fitted.transform(x))
    np.testing.assert_allclose(fitted.weights_.sum(), 1.0, rtol=1e-6)
    several = next(c for c in range(3) if len(fitted.clusters_.members(c)) > 1)
    torch.manual_seed(0)
    drawn = apart.predict(fitted.sample(300, component=several))
    assert len(np.unique(drawn)) > 1, "draws from a cluster come from all of its components"
    for options, sentence in (
        ({"merging": "overlap"}, "merging is 'overlap'"),
        ({"evidence_weight": 0}, "is 0: it must"),
    ):
        with pytest.raises(UserError, match=sentence):
            clone(fitted).set_params(**options).fit(x)


def test_a_stored_fit_is_joined_by_another_rule_as_a_refit_would_be(
    fitted: VMM, blobs: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, _ = blobs
    fitted.save(tmp_path)
    anew = VMM.load(tmp_path)
    with pytest.raises(UserError, match="merging is 'overlap'"):
        anew.rejoin(x, merging="overlap")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="evidence_weight is 0"):
        anew.rejoin(x, merging="none", evidence_weight=0)
    assert anew.get_params()["merging"] == "contact", "a refusal leaves everything as it was"
    assert anew.rejoin(x, merging="none") is anew
    apart = clone(fitted).set_params(merging="none").fit(x)
    assert anew.get_params()["merging"] == "none"
    assert anew.n_clusters_ == apart.n_clusters_ > fitted.n_clusters_
    np.testing.assert_array_equal(anew.labels_, apart.labels_)
    np.testing.assert_array_equal(anew.predict(x), apart.labels_)
    np.testing.assert_array_equal(anew.weights_, apart.weights_)
    anew.save(tmp_path, overwrite=True)
    back = VMM.load(tmp_path)
    np.testing.assert_array_equal(back.labels_, apart.labels_)
    np.testing.assert_array_equal(back.rejoin(x, merging="contact").labels_, fitted.labels_)
    assert back.rejoin(x, merging="evidence", evidence_weight=1e-3).evidence_weight == 1e-3
    assert back.rejoin(x).merging == "evidence"
    assert back.evidence_weight == 1e-3, "nothing was said of it"
    assert back.rejoin(x, merging="misclassification").evidence_weight is None, "a rule comes with its own weight"


def test_what_other_seeds_said_of_the_earlier_clusters_is_forgotten(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    vmm = VMM(**OPTIONS | {"max_epochs": 1}).fit(blobs[0])
    vmm.stability(blobs[0], num_seeds=2)
    assert vmm.stability_ is not None
    assert vmm.rejoin(blobs[0], merging="none").stability_ is None
    with pytest.raises(NotFittedError):
        VMM(**OPTIONS).rejoin(blobs[0])


def test_more_clusters_than_found_are_had_without_a_refit(
    fitted: VMM, blobs: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, _ = blobs
    apart = deepcopy(fitted).rejoin(x, merging="none")
    assert apart.n_clusters_ > fitted.n_clusters_
    fitted.save(tmp_path)
    for model in (fitted, VMM.load(tmp_path)):
        finest = model.predict(x, num_clusters=apart.n_clusters_)
        assert adjusted_rand_score(finest, apart.labels_) == 1.0
        one_more = model.predict_proba(x, num_clusters=fitted.n_clusters_ + 1)
        assert one_more.shape == (len(x), fitted.n_clusters_ + 1)
        assert one_more.max() <= 1.0
        with pytest.raises(UserError, match=f"the mixture uses {apart.n_clusters_} components"):
            model.predict(x, num_clusters=apart.n_clusters_ + 1)
    assert len(fitted.merge_tree(x).merges) == fitted.n_clusters_ - 1


def test_a_cluster_shows_one_component_everywhere(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    """The heaviest of its components: in pseudo-inputs, decoded centres and component_order_."""
    vmm = deepcopy(fitted)
    column = next(c for c in range(3) if len(vmm.clusters_.members(c)) > 1)
    members = vmm.clusters_.members(column)
    weights = vmm._prior_weights
    heaviest = int(members[weights[members].argmax()])
    # Whichever of them names the cluster: a model stored before may have another order.
    for name in members.tolist():
        joined = vmm.clusters_.joined.copy()
        joined[members] = name
        order = vmm.clusters_.order.copy()
        places = np.flatnonzero(order == name), np.flatnonzero(order == vmm.clusters_.order[column])
        order[places[0]], order[places[1]] = order[places[1]], order[places[0]]
        vmm.fit_.clusters = replace(vmm.clusters_, joined=joined, order=order)
        assert vmm.component_order_[column] == heaviest
        assert sorted(vmm.component_order_) == list(range(10))
        with torch.no_grad():
            inputs = vmm.model_.prior.encoded_centres.pseudo_inputs()[0]  # type: ignore[attr-defined]
            centre = vmm.model_.observation(vmm.model_.prior.centres).mean[heaviest].numpy()
        shown = vmm.pseudo_inputs()
        assert shown is not None
        unscaled = [(x[column] - vmm.feature_mean_) / vmm.feature_scale_ for x in (shown, vmm.decoded_centres())]
        np.testing.assert_allclose(unscaled[0], inputs[heaviest].detach().numpy(), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(unscaled[1], centre, rtol=1e-3, atol=1e-4)


def test_draws_follow_random_state_as_in_scikit_learn(fitted: VMM) -> None:
    """A seed gives the same draws in every call, a generator goes on, and None takes torch's own stream."""
    equal = np.array_equal
    vmm = deepcopy(fitted)
    assert equal(vmm.sample(5), vmm.sample(5))
    assert not equal(vmm.sample(5), vmm.sample(5, random_state=1))
    assert equal(vmm.sample(5, random_state=1), vmm.sample(5, random_state=1))
    assert not equal(vmm.sample(5, component=0), vmm.sample(5, component=1))
    generators = [np.random.RandomState(3) for _ in range(2)]
    first, second = vmm.sample(5, random_state=generators[0]), vmm.sample(5, random_state=generators[0])
    assert not equal(first, second)
    assert equal(first, vmm.sample(5, random_state=generators[1]))
    stream = torch.get_rng_state()
    vmm.sample(5)
    assert torch.equal(torch.get_rng_state(), stream), "a seed leaves the caller's stream alone"
    vmm.random_state = None
    torch.manual_seed(0)
    drawn = [vmm.sample(5) for _ in range(2)]
    assert not equal(*drawn)
    torch.manual_seed(0)
    assert equal(vmm.sample(5), drawn[0])
    for wrong in (-1, 1.5, "seed", True):
        with pytest.raises(UserError, match="random_state is"):
            vmm.sample(5, random_state=wrong)


def test_means_are_what_draws_scatter_about(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    means, draws = (fitted.sample(2000, means=means, random_state=0) for means in (True, False))
    assert not np.array_equal(means, draws)
    # The same z: what differs is the likelihood's noise, which has no mean of its own.
    spread = (draws - means).std(0)
    np.testing.assert_array_less(np.abs((draws - means).mean(0)), 5 * spread / np.sqrt(2000))
    one = fitted.sample(3, component=1, means=True)
    assert (fitted.predict(one) == 1).all()


def test_an_embedding_is_decoded_and_observations_are_reconstructed(
    fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]
) -> None:
    x, _ = blobs
    reconstructed = fitted.reconstruct(x)
    np.testing.assert_array_equal(reconstructed, fitted.inverse_transform(fitted.transform(x)))
    assert reconstructed.shape == x.shape
    assert ((reconstructed - x) ** 2).mean() < 0.5 * x.var(0).mean(), "in the data's units"
    order = fitted.component_order_
    centres = fitted.model_.prior.centres.detach()[torch.as_tensor(order)]
    np.testing.assert_allclose(fitted.inverse_transform(centres), fitted.decoded_centres(), rtol=1e-4)
    framed = deepcopy(fitted).set_output(transform="pandas")
    np.testing.assert_array_equal(framed.inverse_transform(framed.transform(x)), reconstructed)
    np.testing.assert_array_equal(framed.reconstruct(x), reconstructed)
    on_the_graph = torch.tensor(fitted.transform(x), requires_grad=True)
    np.testing.assert_array_equal(fitted.inverse_transform(on_the_graph), reconstructed)
    for wrong, sentence in (
        (np.ones((2, 3)), r"Z has shape \[2, 3\]: give \[N, 2\]"),
        (np.ones(2), "Z has one dimension"),
        ([["a", "b"]], "Z has dtype .*, which is not numeric"),
        (np.full((1, 2), np.nan), "Z has 2 missing"),
        (np.full((1, 2), 1e300), "Z has 2 values too large for float32"),
        (np.ones((1, 2), dtype=complex), "Z is complex"),
    ):
        with pytest.raises(UserError, match=sentence):
            fitted.inverse_transform(wrong)
    with pytest.raises(NotFittedError):
        VMM().inverse_transform(np.ones((1, 10)))


def test_probabilities_of_samples_are_the_same_in_every_call(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    apart = deepcopy(fitted).rejoin(blobs[0], merging="none")
    first, again = (apart.predict_proba(blobs[0], num_samples=2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, apart.predict_proba(blobs[0], num_samples=3))
    assert not np.array_equal(first, apart.predict_proba(blobs[0]))
    np.testing.assert_array_equal(apart.predict_proba(blobs[0]), apart.predict_proba(blobs[0]))


def test_training_has_not_seen_the_validation_rows(blobs: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    quick = VMM(**OPTIONS | {"standardize": False, "max_epochs": 2})
    x = blobs[0] / 100.0
    first = clone(quick).fit(x)
    held_out = first.validation_rows_
    assert held_out is not None
    assert held_out.dtype == np.int64
    assert len(np.unique(held_out)) == 30
    changed = x.copy()
    changed[held_out] += 1.0
    second = clone(quick).fit(changed)
    np.testing.assert_array_equal(first.history_["elbo"], second.history_["elbo"])
    assert (first.history_["validation_elbo"] != second.history_["validation_elbo"]).all()
    everything = clone(quick).set_params(validation_fraction=0.0).fit(x).validation_rows_
    assert everything is not None
    assert everything.shape == (0,)
    first.save(tmp_path)
    np.testing.assert_array_equal(VMM.load(tmp_path).validation_rows_, held_out)


def test_samples_and_centres_come_in_the_units_of_the_data(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    x = blobs[0]
    torch.manual_seed(0)
    samples = fitted.sample(4000)
    assert samples.shape == (4000, 6)
    np.testing.assert_allclose(samples.mean(0), x.mean(0), atol=0.3 * x.std())
    for cluster in range(fitted.n_clusters_):
        members = x[fitted.labels_ == cluster]
        if len(members) > 30:
            assert np.abs(fitted.decoded_centres()[cluster] - members.mean(0)).max() < 0.5 * x.std()
            assert (fitted.predict(fitted.sample(200, component=cluster)) == cluster).mean() > 0.5
    with pytest.raises(UserError, match="does not exist"):
        fitted.sample(1, component=10)


def test_one_seed_decides_everything(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = VMM(**OPTIONS).fit(blobs[0])
    assert torch.equal(before, torch.get_rng_state()), "the caller's stream is left alone"
    for name, tensor in again.model_.state_dict().items():
        assert torch.equal(tensor, fitted.model_.state_dict()[name]), name
    other = VMM(**OPTIONS | {"random_state": 1}).fit(blobs[0])
    assert not np.allclose(other.transform(blobs[0]), fitted.transform(blobs[0]))


def test_a_saved_model_is_the_same_model(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    loaded = VMM.load(tmp_path / "model")
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), fitted.predict_proba(blobs[0]))
    np.testing.assert_array_equal(loaded.predict(blobs[0], num_clusters=2), fitted.predict(blobs[0], num_clusters=2))
    np.testing.assert_array_equal(loaded.score_samples(blobs[0]), fitted.score_samples(blobs[0]))
    np.testing.assert_array_equal(loaded.labels_, fitted.labels_)
    assert not [path for path in (tmp_path / "model").iterdir() if path.suffix not in (".json", ".safetensors")]


def test_a_damaged_or_foreign_model_is_refused(fitted: VMM, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config.json"):
        VMM.load(tmp_path)
    fitted.save(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    whole, facts = weights.read_bytes(), json.loads(config.read_text())
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        VMM.load(tmp_path)
    weights.write_bytes(whole)
    config.write_text(json.dumps(facts | {"version": 99}))
    with pytest.raises(UserError, match="newer pyro-vmm"):
        VMM.load(tmp_path)
    config.write_text(json.dumps(facts | {"options": facts["options"] | {"latent_dim": 3}}))
    with pytest.raises(UserError, match="do not fit the options"):
        VMM.load(tmp_path)


def test_objects_of_ones_own(blobs: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x = (blobs[0] > blobs[0].mean(0)).astype(np.float32)
    encoder = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 5))
    mine: dict[str, Any] = {"encoder": encoder, "prior": GaussianMixture(2, 7), "likelihood": Bernoulli()}
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    model = VMM(**OPTIONS | {"standardize": False, "max_epochs": 2} | mine)
    model.fit(x)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items()), (
        "the fit took a copy"
    )
    assert model.predict_proba(x).shape == (300, 7)
    model.save(tmp_path)
    with pytest.raises(UserError, match="give it again"):
        VMM.load(tmp_path)
    loaded = VMM.load(tmp_path, **mine)
    np.testing.assert_array_equal(loaded.predict_proba(x), model.predict_proba(x))


def test_tables_sparse_matrices_and_tensors_are_the_same_data(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    x = np.where(blobs[0] > np.median(blobs[0]), blobs[0], 0.0).astype(np.float32)
    options = OPTIONS | {"max_epochs": 2}
    expected = VMM(**options).fit(x).transform(x)
    for same in (sparse.csr_matrix(x), sparse.csc_array(x), torch.from_numpy(x), x.tolist()):
        np.testing.assert_array_equal(VMM(**options).fit(same).transform(same), expected)
    frame = pd.DataFrame(x, columns=list("abcdef"), index=[f"row{i}" for i in range(len(x))])
    model = VMM(**options).fit(frame).set_output(transform="pandas")
    embedded = model.transform(frame)
    np.testing.assert_array_equal(embedded.to_numpy(), expected)
    assert embedded.index.equals(frame.index)
    assert list(embedded.columns) == ["vmm0", "vmm1"]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[list("bacdef")])


@pytest.mark.parametrize("prior", ["vamp-mixture", "gaussian-mixture", "vamp-prior", "standard-normal"])
def test_every_prior_by_name(prior: str, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    model = VMM(**OPTIONS | {"prior": prior, "max_epochs": 5}).fit(blobs[0])
    assert model.history_["elbo"].iloc[-1] > model.history_["elbo"].iloc[0]
    assert model.score_samples(blobs[0], num_samples=20).mean() > model.score(blobs[0]), "the bound is a bound"


def test_schedules_count_steps(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    model = VMM(**OPTIONS | {"max_epochs": 3, "learning_rate_schedule": "cosine", "kl_warmup_steps": 4})
    seen: list[float] = []

    class Rates:
        def step_ended(self, trainer: Any) -> None:
            seen.append(trainer.svi.optimizers["elbo"].param_groups[0]["lr"])

        def epoch_ended(self, trainer: Any) -> None:
            pass

    model.fit(blobs[0], watchers=[Rates()])
    assert len(seen) == 15  # 270 observations for training, 64 a minibatch: five steps an epoch
    np.testing.assert_allclose(seen, 1e-2 * 0.5 * (1 + np.cos(np.pi * np.arange(15) / 15)), rtol=1e-6)


def test_networks_may_learn_before_the_prior_does(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    model = VMM(**OPTIONS | {"max_epochs": 3, "prior_rest_steps": 7}).fit(blobs[0])  # five steps an epoch
    assert np.isfinite(model.history_["empirical_bayes_loss"]).tolist() == [False, False, True]
    assert np.isfinite(model.history_["elbo"]).all()
    for too_long in ({"prior_rest_steps": 15}, {"kl_warmup_steps": 15}):
        with pytest.warns(
            UserWarning,
            match="ends after 15 steps, and kl_warmup_steps, prior_rest_steps or standard_normal_steps last for 15",
        ):
            VMM(**OPTIONS | {"max_epochs": 3} | too_long).fit(blobs[0])


def test_a_damaged_checkpoint_is_told_of_and_the_one_before_it_used(
    blobs: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    options = OPTIONS | {"max_epochs": 4}
    whole = VMM(**options).fit(blobs[0], watchers=[CheckpointWriter(tmp_path, every_steps=3)])
    newest = max(tmp_path.glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged"):
        resumed = VMM(**options).fit(blobs[0], resume=tmp_path)
    np.testing.assert_array_equal(resumed.transform(blobs[0]), whole.transform(blobs[0]))


def test_convolutional_networks_on_images() -> None:
    x = np.random.default_rng(0).random((40, 64)).astype(np.float32).round()
    options = {"encoder": "conv", "decoder": "conv", "image_shape": (8, 8), "max_epochs": 1, "num_components": 4}
    model = VMM(latent_dim=2, device="cpu", random_state=0, **options).fit(x)
    assert model.transform(x).shape == (40, 2)
    assert model.sample(3).shape == (3, 64)


def test_low_precision_networks_come_close(fitted: VMM, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    model = VMM(**OPTIONS | {"low_precision": True, "max_epochs": 3}).fit(blobs[0])
    full = VMM(**OPTIONS | {"max_epochs": 3}).fit(blobs[0])
    assert model.transform(blobs[0]).dtype == np.float32
    assert abs(model.score(blobs[0]) - full.score(blobs[0])) < 0.5


def test_before_fitting_nothing_can_be_asked(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    for ask in (
        lambda m: m.predict(blobs[0]),
        lambda m: m.sample(1),
        lambda m: m.save("nowhere"),
        lambda m: m.decoded_centres(),
    ):
        with pytest.raises(NotFittedError):
            ask(VMM(**OPTIONS))


class Chosen(VMM):
    """Has a parameter of its own, and chooses most others."""

    def __init__(self, latent_dim: int = 2, name: str = "") -> None:
        super().__init__(**OPTIONS | {"latent_dim": latent_dim, "max_epochs": 2})
        self.name = name


def test_a_subclass_may_have_other_parameters(blobs: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x = blobs[0]
    chosen = clone(Chosen(3, name="three")).fit(x)
    assert chosen.name == "three"
    chosen.save(tmp_path)
    loaded = Chosen.load(tmp_path)
    assert isinstance(loaded, Chosen)
    np.testing.assert_array_equal(loaded.transform(x), chosen.transform(x))


def test_a_clone_is_unfitted_and_equal(fitted: VMM) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "model_")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"learning_rate_schedule": "steep"}, "'steep'"),
        ({"kl_warmup_steps": -1}, "warm|steps"),
        ({"pseudo_input_domain": (0.0, 0.5)}, "domain"),
        ({"pseudo_input_domain": "negative"}, "domain='negative'"),
        ({"likelihood_options": {"colour": 3}}, "colour"),
        ({"likelihood": "bernoulli", "standardize": False}, r"\[0, 1\]"),
        ({"prior": GaussianMixture(3, 4)}, "latent"),
        ({"prior": VampMixture(2, AmortizedNormal(nn.Linear(6, 5)), torch.zeros(4, 6))}, "guide of its own"),
        ({"covariance": "spherical"}, "covariance"),
    ],
)
def test_mistakes_in_options(options: dict[str, Any], message: str, blobs: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(UserError, match=message):
        VMM(**OPTIONS | options).fit(blobs[0])


def test_pseudo_inputs_are_what_the_centres_are_encoded_from() -> None:
    x = 100 + 5 * np.random.default_rng(0).normal(size=(60, 4))
    options = {"likelihood": "normal", "num_components": 6, "latent_dim": 2, "max_epochs": 2, "random_state": 0}
    vmm = VMM(standardize=True, device="cpu", **options).fit(x)
    inputs = vmm.pseudo_inputs()
    assert inputs is not None
    assert 50 < inputs.min() < inputs.max() < 150  # in the units of the data
    centres = vmm.model_.prior.centres.detach().numpy()[vmm.component_order_]
    np.testing.assert_allclose(vmm.transform(inputs), centres, atol=1e-4)
    assert VMM(prior="gaussian-mixture", device="cpu", **options).fit(x).pseudo_inputs() is None
