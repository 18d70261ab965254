"""What all observations must do, wherever they lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks import MLPDecoder, MLPEncoder
from pyro_vmm.observations import InMemory, Observations, in_order
from pyro_vmm.priors import GaussianMixture
from pyro_vmm.random_numbers import OwnRandomNumbers
from pyro_vmm.training import Trainer

CPU = torch.device("cpu")


class ObservationsContract:
    """Tests that any :class:`~pyro_vmm.observations.Observations` pass: inherit them in a class named ``Test...``."""

    def make_observations(self, x: Tensor) -> Observations:
        """Make observations of ``x [N, F]``, whole numbers from 0 on in float32, without covariates."""
        raise NotImplementedError

    def _made(self, number: int = 23, seed: int = 0) -> tuple[Observations, Tensor]:
        counts = np.random.default_rng(seed).poisson(0.8, (number, 4)) + (np.arange(number) % 3 == 0)[:, None]
        x = torch.from_numpy(counts.astype(np.float32))
        return self.make_observations(x), x

    def test_sizes(self) -> None:
        observations, x = self._made()
        assert (len(observations), observations.num_features) == tuple(x.shape)

    @pytest.mark.parametrize("rows", [[0], [22, 0, 7], [5, 5, 1], list(range(23)), []])
    def test_a_minibatch_has_the_rows_asked_for_in_that_order(self, rows: list[int]) -> None:
        observations, x = self._made()
        numbers = torch.tensor(rows, dtype=torch.int64)
        minibatch = observations.minibatch(numbers, CPU)
        assert torch.equal(minibatch.x, x[numbers])
        assert minibatch.x.dtype == torch.float32
        assert all(len(values) == len(rows) for values in minibatch.covariates.values())

    def test_one_pass_sees_every_row_in_order(self) -> None:
        observations, x = self._made()
        assert torch.equal(torch.cat([minibatch.x for minibatch in in_order(observations, 5, CPU)]), x)

    def test_an_epoch_has_every_row_once(self) -> None:
        observations, _ = self._made()
        for epoch in range(3):
            order = observations.order(epoch, 4, 0)
            assert sorted(torch.cat(list(order)).tolist()) == list(range(23))
            assert len(order) == len(observations.order(0, 4, 0))

    def test_the_order_is_a_function_of_seed_and_epoch(self) -> None:
        observations, _ = self._made()
        first = torch.cat(list(observations.order(1, 4, 7)))
        assert torch.equal(first, torch.cat(list(observations.order(1, 4, 7))))
        assert not torch.equal(first, torch.cat(list(observations.order(2, 4, 7))))
        assert not torch.equal(first, torch.cat(list(observations.order(1, 4, 8))))

    def test_a_subset_is_observations_again(self) -> None:
        observations, x = self._made()
        rows = np.array([20, 3, 11, 4])
        some = observations.subset(rows)
        assert torch.equal(some.minibatch(torch.arange(4), CPU).x, x[torch.from_numpy(rows)])
        assert torch.equal(some.subset(np.array([2])).minibatch(torch.arange(1), CPU).x, x[[11]])
        for name, groups in observations.groups.items():
            assert some.groups[name].codes.tolist() == groups.codes[rows].tolist()

    def test_a_fingerprint_tells_data_apart(self) -> None:
        observations, _ = self._made()
        assert observations.fingerprint() == self._made()[0].fingerprint()
        assert observations.fingerprint() != self._made(seed=1)[0].fingerprint()
        assert observations.fingerprint() != observations.subset(np.arange(22)).fingerprint()

    def test_a_trainer_cannot_tell_where_they_lie(self) -> None:
        observations, x = self._made()
        trained = []
        for given in (observations, _Ordered(x, observations)):
            with OwnRandomNumbers(0):
                guide = AmortizedNormal(
                    MLPEncoder(4, (6,), num_outputs=AmortizedNormal.num_outputs(2, "diagonal")), "diagonal"
                )
                model = LatentMixtureModel(GaussianMixture(2, 3), MLPDecoder(2, (6,), num_outputs=4), "poisson")
                svi = EmpiricalBayesSVI(model, guide)
                Trainer(svi, given, given.subset(np.arange(5)), batch_size=6, max_epochs=2).run()
            trained.append({**model.state_dict(), **guide.state_dict()})
        for name, value in trained[0].items():
            assert torch.equal(value, trained[1][name]), name


class _Ordered(InMemory):
    """A tensor in the order of other observations."""

    def __init__(self, x: Tensor, like: Observations) -> None:
        super().__init__(x)
        object.__setattr__(self, "like", like)

    def order(self, epoch: int, batch_size: int, seed: int) -> list[Tensor]:
        return list(self.like.order(epoch, batch_size, seed))  # type: ignore[attr-defined]
