"""Shares that sum to one, under a Dirichlet likelihood: a modality that is no part of the package."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch.nn.functional import softplus

from pyro_vmm import UserError
from pyro_vmm.data import load_input, validate_array
from pyro_vmm.guides import AmortizedNormal
from pyro_vmm.likelihoods import Likelihood
from pyro_vmm.modalities import Input, Modality
from pyro_vmm.modalities.components import make_prior
from pyro_vmm.models import LatentMixtureModel
from pyro_vmm.networks import MLPDecoder, MLPEncoder
from pyro_vmm.observations import InMemory
from pyro_vmm.option_checks import check_whole_number
from pyro_vmm.options import WHERE_ARRAYS_ARE, Entry, Flag, by_name
from pyro_vmm.priors import PseudoInputs


class Dirichlet(Likelihood):
    """``x ~ Dirichlet(softplus(outputs) + 0.05)``."""

    outputs_per_feature = 1
    data_range = (0.0, 1.0)

    def forward(self, outputs, **covariates):
        return dist.Dirichlet(softplus(outputs) + 0.05)


class ShareFile(Input):
    """Tables and arrays, as there are for other models, called ``NAME.shares.csv`` or ``NAME.shares.npz``."""

    described = "shares (.shares.csv or .shares.npz)"
    flags = (by_name("label_column", WHERE_ARRAYS_ARE),)

    @classmethod
    def recognises(cls, spec):
        return spec.endswith((".shares.csv", ".shares.npz"))

    @classmethod
    def read(cls, spec, arguments):
        table = load_input(spec, label_column=arguments["label_column"])
        labels = {} if table.labels is None else {table.label_name: table.labels}
        return cls(spec, table.x, table.ids, labels, names_read=table.feature_names.tolist())


@dataclass(frozen=True, eq=False)
class Shares(Modality):
    """Rows of positive numbers, scaled to sum to one."""

    parts: tuple[str, ...]

    name = "shares"
    noun = "samples"
    input = ShareFile
    own_options = (
        Entry("width", 16, "units of the hidden layer", "model", check_whole_number, Flag(type=int, metavar="U")),
    )
    default_options = {"likelihood": "dirichlet", "covariance": "diagonal", "learning_rate": 3e-3}

    @classmethod
    def learn(cls, data, options):
        modality = cls(options, tuple(f"part {place}" for place in range(np.shape(data)[1])))
        return modality, modality.read(data)

    def read(self, data):
        x = validate_array(data, minimum_observations=1)
        if (x <= 0).any():
            raise UserError("Shares must be positive: add a small amount to those that are 0.")
        return InMemory(torch.from_numpy(x / x.sum(1, keepdims=True)))

    def build(self, observations, num_components):
        options, number = self.options, len(self.parts)
        outputs = AmortizedNormal.num_outputs(options["latent_dim"], options["covariance"])
        guide = AmortizedNormal(MLPEncoder(number, (options["width"],), num_outputs=outputs), options["covariance"])
        decoder = MLPDecoder(options["latent_dim"], (options["width"],), num_outputs=number)

        def pseudo_inputs():
            start = torch.full((num_components, number), 1.0 / number)
            if observations is not None:
                start = observations.minibatch(
                    torch.randperm(len(observations))[:num_components], torch.device("cpu")
                ).x
            return PseudoInputs(start, domain="positive")

        return LatentMixtureModel(
            make_prior(options, num_components, guide, pseudo_inputs), decoder, Dirichlet()
        ), guide

    @property
    def feature_names(self):
        return np.asarray(self.parts)

    @classmethod
    def from_dict(cls, values: dict[str, Any], options: dict[str, Any]):
        return cls(options, tuple(values["parts"]))
