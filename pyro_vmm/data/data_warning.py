"""The one kind of warning about data."""

from pyro_vmm.errors import Message


class DataWarning(Message, UserWarning):
    """Something in the data that can be fitted, but that the user may want to know of."""
