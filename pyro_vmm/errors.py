"""The one kind of error that is the caller's to mend."""


class UserError(ValueError):
    """A mistake in what the user gave: the message names the thing and says the mend, in one sentence.

    The command line prints the message on one line of stderr and exits with status 2; in Python it is an
    ordinary :class:`ValueError`.
    """
