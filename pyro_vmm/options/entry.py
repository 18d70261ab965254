"""What is said of one option."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Check = Callable[[Any, str], Any]
"""From a value and what messages call it to the value as Python's own; raises :class:`~pyro_vmm.errors.UserError`."""

ARRAYS, SINGLE_CELL = "arrays", "single-cell"
"""The faces of the package."""

Part = Literal["model", "clusters", "training", "process", "data"]


@dataclass(frozen=True)
class Flag:
    """How ``pyro-vmm fit`` takes an option.

    Attributes
    ----------
    name
        What the command calls it, as in Python; the option's own name where empty.
    metavar, type, nargs
        As for ``argparse``; ``bool`` is a flag without a value.
    default
        What holds where it is not given; None leaves it to the face.
    meaning
        In place of the option's, where the flag stands for several options or for the opposite of one.
    more
        What the help says after the meaning: choices, and the default.
    opposite
        Whether giving the flag makes the option False.
    """

    name: str = ""
    metavar: str | None = None
    type: Callable[[str], Any] = str
    nargs: str | None = None
    default: Any = None
    meaning: str = ""
    more: str = ""
    opposite: bool = False


@dataclass(frozen=True)
class Otherwise:
    """Where one face differs in an option: each is as in the entry where it is left out.

    Attributes
    ----------
    name
        What the face calls it.
    default, check
        See :class:`Entry`.
    complement
        Whether the face's value is 1 minus the entry's.
    """

    name: str = ""
    default: Any = ...
    check: Check | None = None
    complement: bool = False


@dataclass(frozen=True)
class Entry:
    """An option: everything that is said of it anywhere else is held against this.

    Attributes
    ----------
    name
        What :class:`pyro_vmm.VMM` and everything within call it.
    default
        Its value where it is not given.
    meaning
        One sentence, without its capital and its full stop, for help and documentation.
    part
        What it belongs to: the model, the joining of components to clusters, the training, the process (where and with what
        numbers it runs), or the data (where they are).
    check
        None where what is made of the option refuses it: the prior, the guide, the networks, the likelihood, the learning
        rates' schedule, the device, the clusters.
    flag
        None where the command has none.
    otherwise
        By face, where that differs.
    may_differ
        Whether a training that goes on may have another value.
    earlier
        What it was where a stored model or training of an earlier version does not name it; ``...`` where all do.
    default_before
        Its default in version 0.1, if that was another: the command goes on with it where a training was begun so.
    """

    name: str
    default: Any
    meaning: str
    part: Part
    check: Check | None = None
    flag: Flag | None = None
    otherwise: Mapping[str, Otherwise] = field(default_factory=dict)
    may_differ: bool = False
    earlier: Any = ...
    default_before: Any = ...

    def of_face(self, face: str) -> "Entry":
        """The entry with the name, default and check that the face has."""
        own = self.otherwise.get(face, Otherwise())
        default = self.default if own.default is ... else own.default
        return replace(self, name=own.name or self.name, default=default, check=own.check or self.check)

    @property
    def names(self) -> frozenset[str]:
        """What it is called in any face."""
        return frozenset({self.name, *(own.name for own in self.otherwise.values() if own.name)})

    @property
    def flag_name(self) -> str:
        """What the command's parsed arguments call it.

        Raises
        ------
        ValueError
            If the command does not have it.
        """
        if self.flag is None:
            raise ValueError(f"the command has no flag for {self.name}")
        return self.flag.name or self.name
