"""What a fit may fail of without anyone's mistake, in a sentence that says how to go on."""

GOING_ON = "the same command with --resume goes on from the last checkpoint"


def failure(error: BaseException) -> str | None:
    """What to tell the user; None for an error that is none of these: a fault of ours, which shows its traceback."""
    if isinstance(error, ArithmeticError):
        epochs = getattr(error, "epochs", 0)
        keep = f"; --resume --max-epochs {epochs} ends the fit with the epochs done" if epochs else ""
        return f"{error} The last good state is kept: --resume tries the step again with other noise{keep}."
    if isinstance(error, MemoryError) or _is_lack_of_memory_elsewhere(error):
        return (
            f"There is not enough memory ({_first_line(error)}): free some, or fit in smaller minibatches (--batch-size) "
            f"or with fewer components; with the same options {GOING_ON}."
        )
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or _first_line(error)}. Mend that (is the disk full?); then {GOING_ON}."
    return None


def _is_lack_of_memory_elsewhere(error: BaseException) -> bool:
    """PyTorch's own, or of the loader of shared libraries."""
    told = str(error)
    if isinstance(error, ImportError):
        return "failed to map segment" in told or "Cannot allocate memory" in told
    return isinstance(error, RuntimeError) and any(
        words in told for words in ("can't allocate memory", "out of memory", "not enough memory", "bad_alloc")
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
