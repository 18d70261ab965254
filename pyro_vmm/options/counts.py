"""Options that models of single-cell counts alone have, and where the counts are."""

from pyro_vmm.option_checks import check_boolean, check_whole_number
from pyro_vmm.options.entry import Entry, Flag

OF_COUNTS: tuple[Entry, ...] = (
    Entry(
        "dispersion",
        "gene",
        "what the counts have a dispersion for",
        "model",
        flag=Flag(more=": gene (default) or gene-batch, each gene in each batch"),
    ),
    Entry(
        "n_hidden",
        128,
        "width of the hidden layers of encoder and decoder",
        "model",
        check_whole_number,
        Flag(metavar="WIDTH", type=int, more=" (default 128)"),
    ),
    Entry(
        "n_layers",
        1,
        "number of the hidden layers of encoder and decoder",
        "model",
        check_whole_number,
        Flag(metavar="N", type=int, more=" (default 1)"),
    ),
    Entry("dropout_rate", 0.1, "dropout in the encoder, during training", "model"),
    Entry("normalization", "batch", "normalisation of hidden layers", "model"),
    Entry(
        "use_observed_lib_size",
        True,
        "take each cell's total count or its size factor as its library size",
        "model",
        check_boolean,
        Flag(
            "infer_library_size",
            type=bool,
            meaning="infer library sizes rather than take total counts",
            opposite=True,
        ),
    ),
    Entry(
        "early_stopping",
        True,
        "stop when the validation ELBO no longer rises",
        "training",
        check_boolean,
        may_differ=True,
    ),
)

_COVARIATES = Flag(
    "covariates",
    metavar="COLUMN",
    nargs="+",
    meaning="further columns of obs to hold apart from the biology",
    more=": text, Boolean and categorical ones by category, numbers (whole ones, too) as continuous; make a numeric column "
    "categorical to have it taken by category",
)

WHERE_COUNTS_ARE: tuple[Entry, ...] = (
    Entry(
        "layer",
        None,
        "layer of the counts",
        "data",
        flag=Flag(metavar="NAME", more="; X by default, and 'raw' for the raw X"),
    ),
    Entry(
        "batch_key",
        None,
        "column of obs with each cell's batch (donor, technology)",
        "data",
        flag=Flag(metavar="COLUMN"),
    ),
    Entry("categorical_covariate_keys", None, "columns of obs with covariates by category", "data", flag=_COVARIATES),
    Entry("continuous_covariate_keys", None, "columns of obs with covariates as numbers", "data", flag=_COVARIATES),
    Entry(
        "size_factor_key",
        None,
        "column of obs with size factors, for total counts",
        "data",
        flag=Flag(metavar="COLUMN"),
    ),
    Entry("labels_key", None, "column of obs with labels, which no fit reads", "data"),
    Entry(
        "allow_non_counts",
        False,
        "fit values that are not whole",
        "data",
        check_boolean,
        Flag(type=bool),
    ),
)
"""What :meth:`pyro_vmm.SingleCellVMM.setup_anndata` takes; reading the cells checks the names of columns."""
