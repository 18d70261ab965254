import sys

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vmm import VMM, ppc
from pyro_vmm.errors import UserError

N, F, R = 40, 3, 6


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal([0.0, 5.0, -2.0], size=(N, F)), columns=["a", "b", "c"])


@pytest.fixture(scope="module")
def fit(table):
    return VMM(2, 3, likelihood="normal", hidden=(8,), max_epochs=3, random_state=0).fit(table)


@pytest.fixture(scope="module")
def exported(fit, table):
    return ppc.to_inference_data(fit, table, R, seed=4)


def test_arrays_are_the_replicates_and_the_data(exported, fit, table):
    for source in ("posterior", "prior"):
        group = exported[f"{source}_predictive"]
        replicates = np.stack(list(ppc.replicate(fit, table, R, source, seed=4)))
        np.testing.assert_array_equal(group["x"].to_numpy(), replicates[None])
        assert group["x"].dims == ("chain", "draw", "observation", "feature")
        assert exported[source]["z"].dims == ("chain", "draw", "observation", "latent")
        assert exported[source]["z"].shape == (1, R, N, 2)
    np.testing.assert_allclose(exported.observed_data["x"].to_numpy(), table.to_numpy(), rtol=1e-6)
    assert exported.observed_data["feature"].to_numpy().tolist() == ["a", "b", "c"]


def test_latents_are_those_that_the_replicates_came_from(exported, fit):
    z, x = exported.posterior["z"].to_numpy()[0], exported.posterior_predictive["x"].to_numpy()[0]
    with torch.no_grad():
        fit.model_.eval()
        residual = x - fit.model_.observation(torch.from_numpy(z)).mean.numpy()
        scale = float(fit.model_.likelihood.scale)
    assert residual.std() == pytest.approx(scale, rel=0.15)
    assert np.abs(residual).max() < 6 * scale


# ArviZ 0.23 calls matplotlib in a way that 3.11 says it will drop.
@pytest.mark.filterwarnings("ignore:Passing a dict or None as alias_mapping")
def test_arviz_draws_its_posterior_predictive_check(exported):
    import arviz
    import matplotlib
    from matplotlib import pyplot

    with matplotlib.rc_context({"backend": "agg"}):
        for group in ("posterior", "prior"):
            (ax,) = np.atleast_1d(arviz.plot_ppc(exported, group=group, num_pp_samples=5)).ravel()
            assert ax.get_legend_handles_labels()[1][-1] == f"{group.capitalize()} predictive mean"
            pyplot.close(ax.figure)


def test_features_are_chosen_by_name(fit, table, exported):
    some = ppc.to_inference_data(fit, table, R, seed=4, features=["c", "a"])
    assert some.observed_data["feature"].to_numpy().tolist() == ["c", "a"]
    whole = exported.posterior_predictive["x"].to_numpy()
    np.testing.assert_array_equal(some.posterior_predictive["x"].to_numpy(), whole[..., [2, 0]])
    np.testing.assert_array_equal(some.observed_data["x"].to_numpy(), exported.observed_data["x"].to_numpy()[:, [2, 0]])
    with pytest.raises(UserError, match="no feature 'd': choose among 'a', 'b', 'c'"):
        ppc.to_inference_data(fit, table, R, features=["d"])
    with pytest.raises(UserError, match=r"give \['a'\]"):
        ppc.to_inference_data(fit, table, R, features="a")


def test_without_arviz_a_sentence_says_what_to_install(fit, table, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(UserError, match=r"pip install 'pyro-vmm\[arviz\]'"):
        ppc.to_inference_data(fit, table, R)
