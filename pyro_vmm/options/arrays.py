"""Options that models of arrays alone have, and where the arrays are."""

from pyro_vmm.option_checks import as_tuple, check_boolean
from pyro_vmm.options.entry import Entry, Flag

_NETWORK = Flag("network", meaning="networks of the model", more=": mlp (default) or conv")

OF_ARRAYS: tuple[Entry, ...] = (
    Entry("likelihood_options", None, "keywords of the likelihood", "model"),
    Entry("encoder", "mlp", "network from observations to the posterior of their embedding", "model", flag=_NETWORK),
    Entry("decoder", "mlp", "network from the embedding to the likelihood's parameters", "model", flag=_NETWORK),
    Entry(
        "hidden",
        None,
        "widths of the encoder's hidden layers, mirrored in the decoder",
        "model",
        as_tuple,
        Flag(metavar="WIDTH", type=int, nargs="+"),
    ),
    Entry("image_shape", None, "height and width of observations that are images", "model", as_tuple),
    Entry("pseudo_input_domain", "auto", "where pseudo-inputs may lie", "model", as_tuple),
    Entry(
        "standardize", False, "shift and scale every feature to mean 0 and deviation 1 first", "model", check_boolean
    ),
)

WHERE_ARRAYS_ARE: tuple[Entry, ...] = (
    Entry(
        "data_root",
        None,
        "where torchvision finds or puts its images",
        "data",
        flag=Flag(metavar="DIR"),
        may_differ=True,
    ),
    Entry(
        "label_column",
        None,
        "a column of the file that is a label, not a feature",
        "data",
        flag=Flag(metavar="COLUMN"),
        may_differ=True,
    ),
)
"""What :func:`pyro_vmm.data.load_input` takes."""
