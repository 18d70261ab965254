"""What a command may fail of without anyone's mistake, in a sentence that says how to go on."""

import argparse
import os

from pyro_vmm.command_line.results import ResultsMissing


def failure(error: BaseException, options: argparse.Namespace) -> str | None:
    """What to say of an error; None for one that is none of these: a fault of ours, which shows its traceback.

    Parameters
    ----------
    error
        What was raised.
    options
        Of the command that was run.
    """
    begun = _has_begun_to_fit(options)
    going_on = f"{options.how_to_go_on} goes on from the last checkpoint" if begun else "run the command again"
    if isinstance(error, ResultsMissing):
        return str(error)
    if isinstance(error, ArithmeticError):
        epochs = getattr(error, "epochs", 0)
        keep = f"; --resume --max-epochs {epochs} ends the fit with the epochs done" if epochs else ""
        return f"{error} The last good state is kept: --resume tries the step again with other noise{keep}."
    if isinstance(error, MemoryError) or _is_lack_of_memory_elsewhere(error):
        smaller = ", or fit in smaller minibatches (--batch-size) or with fewer components; with the same options"
        free = f"free some{smaller if begun else ', then'} {going_on}"
        return f"There is not enough memory ({_first_line(error)}): {free}."
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or _first_line(error)}. Fix that (is the disk full?); then {going_on}."
    if isinstance(error, ImportError):
        return f"A package cannot be imported ({_first_line(error)}): install it anew; then {going_on}."
    return None


def _has_begun_to_fit(options: argparse.Namespace) -> bool:
    if options.command in ("fit", "demo"):
        return os.path.exists(options.output / "config.json")
    return bool(options.command == "stability")


def _is_lack_of_memory_elsewhere(error: BaseException) -> bool:
    """PyTorch's own, or of the loader of shared libraries."""
    reason = str(error)
    if isinstance(error, ImportError):
        return "failed to map segment" in reason or "Cannot allocate memory" in reason
    return isinstance(error, RuntimeError) and any(
        words in reason for words in ("can't allocate memory", "out of memory", "not enough memory", "bad_alloc")
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
