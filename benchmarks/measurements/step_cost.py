"""What one training step costs, compared with a hand-written PyTorch loop and with plain ``pyro.infer.SVI``.

Shapes of the MNIST experiment: 784-500-500-2000-10, full covariance, B = 256, K = 100, Bernoulli pixels, VampPrior
mixture with Dirichlet-process weights under MAP, centres that are points. Before anything is timed, all variants start
from the same parameters, see the same noise, and must give the same two losses for three steps; the hand-written loop
must also move every parameter to the same place.

* ``hand`` : no Pyro. Observations and pseudo-inputs through the encoder in one pass (right only without dropout and
  batch normalisation), latents reused by the empirical-Bayes step, gradients switched off where no one needs them,
  log q(z|x) from the noise that made z, fused Adam.
* ``onednn`` : the same with this package's linear layers in place of torch's, which multiply by another library where
  that is quicker.
* ``pyro`` : what a user of Pyro writes: ``SVI``, ``pyro.optim.Adam``, ``Trace_ELBO``, ``MixtureSameFamily``, and a
  second torch Adam for the prior, at latents encoded again (``SVI.step`` does not hand back its own).
* ``ours`` : ``EmpiricalBayesSVI`` as ``pyro_vmm.VMM`` sets it up; ``fresh``: the same with ``latents="fresh"``.

Each is timed as a whole step and as its two halves, the ELBO step and the empirical-Bayes step (EB).

Pixels are random: the cost of a step does not depend on them. Times on shared machines are noisy: variants take turns.
"""

import copy
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.fitted import Fitted
from benchmarks.run import Run
from pyro_vmm.guides.amortized_normal import MINIMUM_SCALE
from pyro_vmm.infer import EmpiricalBayesSVI
from pyro_vmm.modalities.arrays import Arrays
from pyro_vmm.networks import Linear
from pyro_vmm.observations import InMemory
from pyro_vmm.priors.bounded import LOG_CONCENTRATION_LIMIT, LOG_PRECISION_SCALE_LIMIT, LOGIT_LIMIT
from pyro_vmm.priors.mixture import PRIOR_WEIGHT

NUM_PIXELS, LATENT_DIM, NUM_COMPONENTS, BATCH_SIZE = 784, 10, 100, 256
LEARNING_RATE = 1e-4
LOG_TWO_PI = math.log(2.0 * math.pi)
RATIOS = (
    ("ours", "hand"),
    ("ours", "onednn"),
    ("ours", "pyro"),
    ("ours, ELBO", "hand, ELBO"),
    ("ours, ELBO", "pyro, ELBO"),
    ("ours, EB", "hand, EB"),
    ("ours, EB", "ours, ELBO"),
    ("fresh, EB", "fresh, ELBO"),
)


class Networks:
    """Encoder, decoder and prior parameters as plain torch objects, copied from one of our models."""

    def __init__(self, svi: EmpiricalBayesSVI, own_layers: bool = False) -> None:
        self.encoder = copy.deepcopy(svi.guide.encoder.layers)
        self.decoder = copy.deepcopy(svi.model.decoder.layers)
        for layer in [*self.encoder, *self.decoder]:
            if type(layer) is Linear and not own_layers:
                layer.__class__ = nn.Linear
        self.prior = nn.ParameterDict(
            {name.split(".")[-1]: p.detach().clone() for name, p in svi.partition.prior.items()}
        )
        self.networks = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.rows, self.columns = torch.tril_indices(LATENT_DIM, LATENT_DIM, offset=-1)
        self.degrees = LATENT_DIM + 2
        self.wishart_scale = NUM_COMPONENTS ** (2 / LATENT_DIM) / self.degrees
        half = torch.tensor(self.degrees / 2, dtype=torch.float64)
        normaliser = half * LATENT_DIM * math.log(2 * self.wishart_scale) + torch.mvlgamma(half, LATENT_DIM)
        self.wishart_normaliser = float(normaliser)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean ``[N, D]``, diagonal of S ``[N, D]`` and S ``[N, D, D]``."""
        loc, raw, below = self.encoder(x).split([LATENT_DIM, LATENT_DIM, len(self.rows)], -1)
        diagonal = functional.softplus(raw) + MINIMUM_SCALE
        scale_tril = torch.diag_embed(diagonal)
        scale_tril[..., self.rows, self.columns] = below
        return loc, diagonal, scale_tril

    def log_weights(self) -> tuple[Tensor, Tensor]:
        """Log-weights ``[K]`` and ``log(1 - v_k)`` ``[K - 1]``."""
        logits = LOGIT_LIMIT * torch.tanh(self.prior["stick_logits"] / LOGIT_LIMIT)
        log_rest = functional.logsigmoid(-logits)
        unbroken = functional.pad(log_rest.cumsum(-1), (1, 0))
        return functional.pad(functional.logsigmoid(logits), (0, 1)) + unbroken, log_rest

    def precision_cholesky(self) -> tuple[Tensor, Tensor]:
        """Factors ``[K, D, D]`` and the logarithms of their diagonals ``[K, D]``."""
        log_diagonal = LOG_PRECISION_SCALE_LIMIT * torch.tanh(self.prior["log_diagonal"] / LOG_PRECISION_SCALE_LIMIT)
        return torch.diag_embed(log_diagonal.exp()) + self.prior["off_diagonal"].tril(-1), log_diagonal

    def empirical_bayes_loss(self, z: Tensor) -> Tensor:
        """Section 4 of the paper's method with responsibilities held fixed."""
        loc, _, _ = self.encode(self.prior["unconstrained"])
        log_weights, log_rest = self.log_weights()
        factor, log_diagonal = self.precision_cholesky()
        log_det = log_diagonal.sum(-1)
        whitened = torch.bmm(z - loc.unsqueeze(1), factor)
        distance = whitened.square().sum(-1).T
        log_joint = log_weights + log_det - 0.5 * (LATENT_DIM * LOG_TWO_PI + distance)
        fit = (log_joint.detach().softmax(-1) * log_joint).sum() / len(z)
        limit = LOG_CONCENTRATION_LIMIT
        log_concentration = limit * torch.tanh(self.prior["log_concentration"] / limit)
        concentration = log_concentration.exp()
        sticks = (NUM_COMPONENTS - 1) * log_concentration + (concentration - 1.0) * log_rest.sum()
        centres = -0.5 * (NUM_COMPONENTS * LATENT_DIM * LOG_TWO_PI + loc.square().sum())
        wishart = (self.degrees - LATENT_DIM - 1) * log_det.sum() - 0.5 * factor.square().sum() / self.wishart_scale
        hyper = sticks - concentration + centres + wishart - NUM_COMPONENTS * self.wishart_normaliser
        return -fit - hyper / PRIOR_WEIGHT


class HandWritten(Networks):
    """The loop without Pyro."""

    def __init__(self, svi: EmpiricalBayesSVI, own_layers: bool = False) -> None:
        super().__init__(svi, own_layers)
        self.optimizer = torch.optim.Adam(self.networks, lr=LEARNING_RATE, fused=True)
        self.prior_optimizer = torch.optim.Adam(self.prior.parameters(), lr=LEARNING_RATE, fused=True)
        self.z = torch.empty(0)

    def log_prior(self, z: Tensor, loc: Tensor) -> Tensor:
        """``log p(z)``, the precision of a component being its factor times the factor's transpose."""
        factor, log_diagonal = self.precision_cholesky()
        distance = torch.bmm(z - loc.unsqueeze(1), factor).square().sum(-1).T
        log_component = self.log_weights()[0] + log_diagonal.sum(-1) - 0.5 * (LATENT_DIM * LOG_TWO_PI + distance)
        return log_component.logsumexp(-1)

    def elbo_step(self, x: Tensor) -> float:
        """One update of the networks."""
        self.prior.requires_grad_(False)
        loc, diagonal, scale_tril = self.encode(torch.cat((x, self.prior["unconstrained"])))
        size = len(x)
        noise = torch.randn(size, LATENT_DIM)
        z = loc[:size] + (scale_tril[:size] @ noise.unsqueeze(-1)).squeeze(-1)
        self.z = z.detach()
        log_q = -0.5 * (noise.square().sum() + z.numel() * LOG_TWO_PI) - diagonal[:size].log().sum()
        cross_entropy = functional.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        loss = (cross_entropy + log_q - self.log_prior(z, loc[size:]).sum()) / size
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def empirical_bayes_step(self, x: Tensor) -> float:
        """One update of the prior at the latents of :meth:`elbo_step`."""
        self.prior.requires_grad_(True)
        self.encoder.requires_grad_(False)
        loss = self.empirical_bayes_loss(self.z)
        self.prior_optimizer.zero_grad()
        loss.backward()
        self.prior_optimizer.step()
        self.encoder.requires_grad_(True)
        return loss.item()


class PlainPyro(Networks):
    """The loop as a user of Pyro writes it."""

    def __init__(self, svi: EmpiricalBayesSVI) -> None:
        super().__init__(svi)
        self.svi = SVI(self.model, self.guide, pyro.optim.Adam({"lr": LEARNING_RATE}), loss=Trace_ELBO())
        self.prior_optimizer = torch.optim.Adam(self.prior.parameters(), lr=LEARNING_RATE)

    def model(self, x: Tensor) -> None:
        """The mixture and the pixels."""
        pyro.module("decoder", self.decoder)
        loc, _, _ = self.encode(self.prior["unconstrained"])
        covariance = torch.cholesky_inverse(self.precision_cholesky()[0])
        components = dist.MultivariateNormal(loc, covariance_matrix=covariance)
        mixture = dist.MixtureSameFamily(dist.Categorical(logits=self.log_weights()[0]), components)
        with pyro.plate("observations", len(x)):
            z = pyro.sample("z", mixture)
            # Grey pixels are no Bernoulli draws: only the observation's own check has to be off.
            pyro.sample("x", dist.Bernoulli(logits=self.decoder(z), validate_args=False).to_event(1), obs=x)

    def guide(self, x: Tensor) -> Tensor:
        """Amortised posterior."""
        pyro.module("encoder", self.encoder)
        with pyro.plate("observations", len(x)):
            loc, _, scale_tril = self.encode(x)
            return pyro.sample("z", dist.MultivariateNormal(loc, scale_tril=scale_tril))

    def elbo_step(self, x: Tensor) -> float:
        """One update of the networks."""
        self.prior.requires_grad_(False)
        loss = self.svi.step(x) / len(x)
        self.prior.requires_grad_(True)
        return loss

    def empirical_bayes_step(self, x: Tensor, z: Tensor | None = None) -> float:
        """One update of the prior at latents encoded again, or given."""
        with torch.no_grad():
            z = self.guide(x) if z is None else z
        self.encoder.requires_grad_(False)
        loss = self.empirical_bayes_loss(z)
        self.prior_optimizer.zero_grad()
        loss.backward()
        self.prior_optimizer.step()
        self.encoder.requires_grad_(True)
        return loss.item()


def our_svi(x: Tensor, latents: str = "auto") -> EmpiricalBayesSVI:
    """Model, guide and loop as ``pyro_vmm.VMM`` makes them."""
    torch.manual_seed(0)
    options = Arrays.with_defaults({"latent_dim": LATENT_DIM, "num_components": NUM_COMPONENTS})
    modality = Arrays(options, np.zeros(NUM_PIXELS), np.ones(NUM_PIXELS))
    model, guide = modality.build(InMemory(x), NUM_COMPONENTS)
    return EmpiricalBayesSVI(
        model, guide, optim=LEARNING_RATE, prior_optim=LEARNING_RATE, loss=TraceMeanField_ELBO(), latents=latents
    )


def assert_same_mathematics(
    ours: EmpiricalBayesSVI, hand: HandWritten, with_own_layers: HandWritten, plain: PlainPyro, x: Tensor
) -> None:
    """Three steps of each on the same noise: equal losses, and equal parameters afterwards."""
    for step in range(3):
        torch.manual_seed(step)
        expected = ours.elbo_step(x)
        z = ours._latents
        expected_prior = ours.empirical_bayes_step(x)
        torch.manual_seed(step)
        found = hand.elbo_step(x), hand.empirical_bayes_step(x)
        torch.manual_seed(step)
        found += with_own_layers.elbo_step(x), with_own_layers.empirical_bayes_step(x)
        torch.manual_seed(step)
        found += plain.elbo_step(x), plain.empirical_bayes_step(x, z)
        np.testing.assert_allclose(found, 3 * (expected, expected_prior), rtol=2e-5)
    pairs = [(p, hand.prior[name.split(".")[-1]]) for name, p in ours.partition.prior.items()]
    networks = [*ours.guide.encoder.parameters(), *ours.model.decoder.parameters()]
    for expected_parameter, parameter in [*pairs, *zip(networks, hand.networks, strict=True)]:
        # On average only: Adam divides by the gradient's own size, so that rounding moves a parameter without gradient.
        assert (expected_parameter - parameter).abs().mean() < 0.01 * LEARNING_RATE


def measure_step_cost(x: None, options: Mapping[str, Any], run: Run) -> Fitted:
    """Take ``options["repeats"]`` rounds, in each of which every variant takes one step; CPU milliseconds and their ratios.

    Ratios are taken round by round: ``NAME`` is the median, ``NAME, 25 %`` and ``NAME, 75 %`` are the quartiles.
    """
    repeats = options["repeats"]
    generator = torch.Generator().manual_seed(run.seed)
    pixels = torch.rand(2048, NUM_PIXELS, generator=generator)
    pixels = pixels * (torch.rand(pixels.shape, generator=generator) < 0.2)
    batches = pixels.split(BATCH_SIZE)
    ours, fresh = our_svi(pixels), our_svi(pixels, "fresh")
    hand, onednn, plain = HandWritten(ours), HandWritten(ours, own_layers=True), PlainPyro(ours)
    assert_same_mathematics(ours, hand, onednn, plain, batches[0])

    steps: dict[str, tuple[Callable[[Tensor], float], ...]] = {
        "hand": (hand.elbo_step, hand.empirical_bayes_step),
        "onednn": (onednn.elbo_step, onednn.empirical_bayes_step),
        "ours": (ours.elbo_step, ours.empirical_bayes_step),
        "pyro": (plain.elbo_step, plain.empirical_bayes_step),
        "fresh": (fresh.elbo_step, fresh.empirical_bayes_step),
        "ours whole": (ours.step,),
    }
    times = {name: np.zeros((repeats, len(parts))) for name, parts in steps.items()}
    for repeat in range(-3, repeats):
        names = list(steps)
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            for part, step in enumerate(steps[name]):
                start = time.process_time()
                step(batches[repeat % len(batches)])
                if repeat >= 0:
                    times[name][repeat, part] = 1e3 * (time.process_time() - start)

    rows = {"ours": times["ours whole"][:, 0]}
    rows |= {name: times[name].sum(1) for name in ("hand", "onednn", "pyro")}
    for name in ("ours", "hand", "onednn", "pyro", "fresh"):
        rows[f"{name}, ELBO"], rows[f"{name}, EB"] = times[name].T
    numbers = {f"{name}, ms": float(np.median(row)) for name, row in rows.items()}
    for top, bottom in RATIOS:
        low, middle, high = np.percentile(rows[top] / rows[bottom], [25, 50, 75])
        name = f"{top} / {bottom}"
        numbers |= {name: float(middle), f"{name}, 25 %": float(low), f"{name}, 75 %": float(high)}
    return Fitted(numbers=numbers)
