"""Fits that are struck at random moments."""

from benchmarks.harness import Column, Table, Trial
from benchmarks.harness.collect import SECONDS

HARMLESS = ("kill", "terminate", "damage", "file size", "interrupt")
"""Faults that need no rights and leave no memory short."""
KINDS = (*HARMLESS, "memory", "full disk", "read-only")
QUESTION = """\
Do fits survive? Two tiny fits, of images and of counts, write a checkpoint after every step. Each is begun, struck at
a random moment (SIGKILL, SIGTERM, Ctrl-C, a damaged checkpoint, a full or read-only disk, limits of file size and
memory), resumed, struck again, and let come to its end. It must end in the bits of an undisturbed fit; every
checkpoint left must be whole, and every damaged one named. A trial in which one does not fails. `too late` are blows
that a fit came to its end under. Full and read-only disks need the rights of root."""


def trials(quick: bool, seed: int) -> list[Trial]:
    """Both fits."""
    options = {"blows": 5, "fresh": 0, "faults": HARMLESS} if quick else {"blows": 50, "fresh": 2, "faults": KINDS}
    return [
        Trial(kind, {"kind": "none"}, f"{options['blows']} blows", "faults", options | {"fit": kind}, seed)
        for kind in ("images", "counts")
    ]


TABLE = Table(
    name="faults",
    title="Fits that are struck",
    question=QUESTION,
    trials=trials,
    columns=(
        Column("blows", "blows", 0),
        Column("fits", "fits brought to their end", 0),
        Column("too_late", "too late", 0),
        Column("left_out_kinds", "kinds left out for want of rights", 0),
        SECONDS,
    ),
    seeds=1,
    quick_seeds=1,
)
