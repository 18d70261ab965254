"""How long to train where nobody says: in steps, within bounds in epochs."""

ENOUGH_STEPS, MOST_STEPS = 5_000, 20_000
PATIENT_STEPS, MOST_PATIENT_STEPS, PATIENT_EPOCHS = 500, 5_000, 15


def default_epochs(steps_per_epoch: int, *, least: int, most: int) -> int:
    """Epochs that hold 5,000 steps, but ``least`` to ``most`` epochs, and no more than the first to pass 20,000 steps.

    Without the last bound a million observations would be seen fifty times: that takes ten times as long for a few tenths of a
    nat, and components go on merging all the while (benchmarks/README.md, "Length of training").
    """
    epochs = min(max(_epochs_of(ENOUGH_STEPS, steps_per_epoch), least), most)
    return min(epochs, _epochs_of(MOST_STEPS, steps_per_epoch))


def default_patience(steps_per_epoch: int) -> int:
    """Epochs that hold 500 steps, and at least 15, but not those after the first to pass 5,000 steps."""
    least = min(PATIENT_EPOCHS, _epochs_of(MOST_PATIENT_STEPS, steps_per_epoch))
    return max(least, _epochs_of(PATIENT_STEPS, steps_per_epoch))


def _epochs_of(steps: int, steps_per_epoch: int) -> int:
    return -(-steps // steps_per_epoch)
