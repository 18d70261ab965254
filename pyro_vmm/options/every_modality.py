"""Options that a model has whatever its data are."""

from functools import partial

from pyro_vmm.option_checks import (
    LARGEST_LATENT_DIM,
    check_boolean,
    check_not_negative,
    check_positive,
    check_share,
    check_whole_number,
)
from pyro_vmm.options.entry import SINGLE_CELL, Entry, Flag, Otherwise
from pyro_vmm.random_states import check_state

_latent_dim = partial(check_whole_number, most=LARGEST_LATENT_DIM)


COMMON: tuple[Entry, ...] = (
    Entry(
        "latent_dim",
        10,
        "dimensions of the embedding",
        "model",
        _latent_dim,
        Flag(metavar="D", type=int, more=" (default 10; of single cells 5 where there are fewer than 1000)"),
        {
            SINGLE_CELL: Otherwise(
                "n_latent", default=None, check=partial(_latent_dim, or_none="for as many as the cells allow")
            )
        },
        default_before=10,
    ),
    Entry(
        "num_components",
        100,
        "upper limit on the number of clusters",
        "model",
        check_whole_number,
        Flag(metavar="K", type=int, more=" (default 100)"),
    ),
    Entry(
        "prior",
        "vamp-mixture",
        "prior over the embedding",
        "model",
        flag=Flag(more=": vamp-mixture (default), gaussian-mixture, vamp-prior or standard-normal"),
    ),
    Entry(
        "prior_inference",
        "map-dp",
        "how the mixture is estimated",
        "model",
        flag=Flag(more=": map-dp (default), map or mle"),
    ),
    Entry(
        "weights",
        "stick-breaking",
        "prior over the mixture weights",
        "model",
        flag=Flag(more=": stick-breaking (default) or dirichlet"),
    ),
    Entry(
        "prior_weight",
        16_384.0,
        "a component survives when it expects about one member in this number of observations",
        "model",
        flag=Flag(metavar="M", type=float, more="; larger gives more clusters (default 16384)"),
    ),
    Entry(
        "responsibility_gradient",
        "stopped",
        "whether gradients pass through the responsibilities",
        "model",
        flag=Flag(more=": stopped (default) or differentiated"),
    ),
    Entry(
        "centre_uncertainty",
        "none",
        "how the encoder's uncertainty of the mixture's centres enters",
        "model",
        flag=Flag(more=": none (default; centres are points), integrated, or expected, as published"),
        earlier="expected",
    ),
    Entry(
        "merging",
        "contact",
        "which components are joined to clusters",
        "clusters",
        flag=Flag(
            more=": those that touch as the parts of one population do (contact, default), those that one Gaussian describes "
            "better and no valley of the density separates (valleys), the same without looking for valleys (evidence), the same as "
            "valleys after components that share more than one observation in twenty (misclassification), or none (none)"
        ),
        default_before="valleys",
    ),
    Entry(
        "evidence_weight",
        None,
        "upper limit on the effective sample size in the merge test",
        "clusters",
        flag=Flag(
            metavar="N",
            type=float,
            more=": larger gives more clusters (default: no limit with misclassification, otherwise 200 per latent dimension, "
            "at least 2000)",
        ),
    ),
    Entry(
        "likelihood",
        "bernoulli",
        "distribution of the observations given their embedding",
        "model",
        flag=Flag(
            more=": bernoulli, continuous-bernoulli, normal, student-t or, for raw counts, poisson, nb or zinb; the default "
            "depends on the input (zinb for single cells)"
        ),
        otherwise={SINGLE_CELL: Otherwise("gene_likelihood", "zinb")},
    ),
    Entry(
        "covariance",
        "full",
        "covariance of the approximate posterior",
        "model",
        otherwise={SINGLE_CELL: Otherwise(default="diagonal")},
    ),
    Entry(
        "learning_rate",
        5e-4,
        "learning rate of encoder and decoder",
        "training",
        partial(check_positive, noun="learning rate"),
        Flag(type=float),
        {SINGLE_CELL: Otherwise(default=1e-3)},
    ),
    Entry(
        "prior_learning_rate",
        None,
        "learning rate of the mixture",
        "training",
        partial(check_positive, noun="learning rate", or_none=True),
        Flag(type=float, more=" (default 0.3 times that of the networks)"),
    ),
    Entry(
        "batch_size",
        256,
        "observations in a minibatch",
        "training",
        check_whole_number,
        Flag(metavar="B", type=int),
    ),
    Entry(
        "max_epochs",
        None,
        "last epoch of the training",
        "training",
        partial(check_whole_number, or_none="for enough"),
        Flag(metavar="E", type=int),
        may_differ=True,
    ),
    Entry(
        "patience",
        30,
        "stop after this number of epochs without a rise of the validation ELBO",
        "training",
        partial(check_whole_number, or_none="to train to the last epoch"),
        Flag(metavar="P", type=int, more=" (default 30; for single cells as many as hold 500 steps, at least 15)"),
        {SINGLE_CELL: Otherwise(default=None, check=partial(check_whole_number, or_none="for 500 steps"))},
        may_differ=True,
    ),
    Entry(
        "validation_fraction",
        0.1,
        "share of the observations held out for the validation ELBO",
        "training",
        partial(check_share, may_be="none"),
        otherwise={SINGLE_CELL: Otherwise("train_size", 0.9, partial(check_share, may_be="all"), complement=True)},
    ),
    Entry(
        "kl_warmup_steps",
        0,
        "steps in which the weight of the KL term rises to 1",
        "training",
        partial(check_whole_number, least=0),
        Flag(metavar="STEPS", type=int),
    ),
    Entry(
        "prior_rest_steps",
        0,
        "steps before the first update of the prior",
        "training",
        partial(check_whole_number, least=0),
        Flag(metavar="STEPS", type=int),
        earlier=0,
    ),
    Entry(
        "standard_normal_steps",
        0,
        "steps that train under a standard normal prior first, to join batches",
        "training",
        partial(check_whole_number, least=0),
        Flag(
            metavar="STEPS",
            type=int,
            more=" (default 0; for cells with batches or covariates 500, at most half of all)",
        ),
        {SINGLE_CELL: Otherwise(default=None, check=partial(check_whole_number, least=0, or_none="for the default"))},
        earlier=0,
    ),
    Entry(
        "weight_rate",
        1.0,
        "learning rate of the mixture weights, as a multiple of the prior's",
        "training",
        partial(check_positive, noun="multiple of the prior's learning rate"),
        Flag(type=float, more=" (default 1)"),
        earlier=1.0,
    ),
    Entry(
        "weight_decay",
        0.0,
        "decay of the weights of encoder and decoder towards zero, as a gradient's term",
        "training",
        check_not_negative,
        Flag(type=float, more=" (default 0)"),
        earlier=0.0,
    ),
    Entry(
        "learning_rate_schedule",
        "constant",
        "course of the learning rates",
        "training",
        flag=Flag(more=": constant (default) or cosine, to zero at the last epoch"),
    ),
    Entry(
        "low_precision",
        False,
        "multiply in bfloat16 in wide layers",
        "model",
        check_boolean,
        Flag(type=bool, more=": faster on GPUs and on processors that can"),
        earlier=False,
    ),
    Entry(
        "device",
        "auto",
        "where to compute",
        "process",
        flag=Flag(default="auto", more=": auto (default), cpu or cuda"),
        otherwise={SINGLE_CELL: Otherwise("accelerator")},
        may_differ=True,
    ),
    Entry(
        "random_state",
        None,
        "seed of all random numbers",
        "process",
        check_state,
        Flag("seed", type=int, default=0, more=" (default 0)"),
        {SINGLE_CELL: Otherwise(default=0, check=partial(check_state, or_none=False))},
    ),
    Entry(
        "verbose",
        False,
        "show a progress bar",
        "process",
        flag=Flag("quiet", type=bool, meaning="no progress bar", opposite=True),
        otherwise={SINGLE_CELL: Otherwise("enable_progress_bar", default=True)},
        may_differ=True,
    ),
)
