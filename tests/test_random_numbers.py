"""Which generators a fit and its answers seed, and whose draws they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_vmm import VMM, ppc
from pyro_vmm.diagnosis import simulation_based_calibration
from pyro_vmm.process_lock import PROCESS_LOCK
from pyro_vmm.random_numbers import OwnRandomNumbers, RandomNumbers
from pyro_vmm.scoring import elbo_surgery

X = np.random.default_rng(0).normal(size=(70, 4)).astype(np.float32)


def test_work_on_the_cpu_touches_no_other_generator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a generator of a CUDA device was touched")

    torch.optim.Adam([torch.zeros(1)])  # imports what torch imports at first use
    # As on a machine with two GPUs that are in use.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("manual_seed", "manual_seed_all", "get_rng_state", "set_rng_state", "init"):
        monkeypatch.setattr(torch.cuda, name, refuse)
    vmm = VMM(
        num_components=4, latent_dim=2, hidden=(8,), max_epochs=2, batch_size=32, likelihood="normal", device="cpu"
    )
    vmm.set_params(random_state=0).fit(X)
    vmm.predict_proba(X, num_samples=2)
    vmm.score_samples(X, 2)
    vmm.sample(2)
    vmm.diagnose(X)
    simulation_based_calibration(vmm.model_, vmm.guide_, num_simulations=80)
    ppc.check(vmm, X, num_replicates=2)
    elbo_surgery(vmm.model_, vmm.guide_, torch.from_numpy(X), num_samples=2)
    vmm.save(tmp_path)
    VMM.load(tmp_path)


class Generator:
    """A CUDA device's, on the CPU."""

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.values = torch.zeros(1)

    def manual_seed(self, seed: int) -> None:
        self.seeds.append(seed)
        self.values = torch.tensor([float(seed)])

    def get_state(self) -> torch.Tensor:
        return self.values

    def set_state(self, values: torch.Tensor) -> None:
        self.values = values


def test_work_on_one_device_seeds_that_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    generators = Generator(), Generator()
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "default_generators", generators)
    numbers = OwnRandomNumbers(5, torch.device("cuda:1"))
    with numbers:
        generators[1].values = torch.tensor([6.0])  # as a draw would
    assert [generator.seeds for generator in generators] == [[], [5]]
    assert generators[1].values.item() == 0.0, "the device's generator is as it was"
    assert numbers.state()["cuda"].item() == 6.0
    with numbers:
        assert generators[1].values.item() == 6.0
    assert generators[1].seeds == [5]


def test_own_numbers_go_on_where_they_were_left_and_the_others_are_untouched() -> None:
    torch.manual_seed(1)
    expected_outside = torch.rand(4)
    expected = torch.rand(4, generator=torch.Generator().manual_seed(9))
    torch.manual_seed(1)
    numbers, found, outside = OwnRandomNumbers(9), [], []
    for _ in range(2):
        with numbers:
            found.append(torch.rand(2))
        outside.append(torch.rand(2))
    assert torch.equal(torch.cat(found), expected)
    assert torch.equal(torch.cat(outside), expected_outside)
    with pytest.raises(RuntimeError), numbers:
        raise RuntimeError
    assert PROCESS_LOCK._owner is None


@pytest.mark.parametrize("own", [True, False])
def test_a_state_taken_is_a_state_to_go_on_from(own: bool) -> None:
    numbers = OwnRandomNumbers(3) if own else RandomNumbers()
    state = numbers.state()
    draws = []
    for _ in range(2):
        with numbers:
            draws.append(torch.rand(3))
        numbers.set_state(state)
    assert torch.equal(*draws)
