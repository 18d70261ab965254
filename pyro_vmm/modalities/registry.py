"""Which modalities there are: those of the package, those of installed packages, and those registered."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from pyro_vmm.calling_code import warn_caller
from pyro_vmm.errors import UserError
from pyro_vmm.options import ARRAYS, SINGLE_CELL

if TYPE_CHECKING:
    from pyro_vmm.modalities.base import Modality

GROUP = "pyro_vmm.modalities"
"""Entry points of installed packages: ``name = "package.module:Class"``."""
_registered: dict[str, type[Modality]] = {}


def register(modality: type[Modality]) -> type[Modality]:
    """Make a modality known by its name, to files of fits and to the command; can be used as a decorator.

    Raises
    ------
    UserError
        If the name is another modality's.
    """
    other = known().get(modality.name)
    if other is not None and (other.__module__, other.__qualname__) != (modality.__module__, modality.__qualname__):
        raise UserError(
            f"A modality called {modality.name!r} exists already ({other.__qualname__}): give another name."
        )
    _registered[modality.name] = modality
    return modality


def known() -> dict[str, type[Modality]]:
    """All modalities by name."""
    return from_outside() | _of_the_package()


def from_outside() -> dict[str, type[Modality]]:
    """Modalities that are not of the package, by name; without any, nothing is imported."""
    return _of_other_packages() | _registered


def named(name: str) -> type[Modality]:
    """The modality that a stored fit names.

    Raises
    ------
    UserError
        If it is not known here. A file names it, and never says where its code is.
    """
    found = known().get(name)
    if found is None:
        raise UserError(f"The modality {name!r} is not known: import the module that registers it first.")
    return found


def recognised(spec: str) -> type[Modality]:
    """The modality whose input recognises what a user names: those from outside first, the last one registered before all.

    Raises
    ------
    UserError
        For what none reads.
    """
    counts, arrays = _of_the_package()[SINGLE_CELL], _of_the_package()[ARRAYS]
    for modality in (*reversed(from_outside().values()), counts):
        if modality.input is not None and modality.input.recognises(spec):
            return modality
    assert arrays.input is not None
    arrays.input.recognises(spec)
    return arrays


def _of_the_package() -> dict[str, type[Modality]]:
    from pyro_vmm.modalities.arrays import Arrays
    from pyro_vmm.modalities.counts import Counts

    return {Arrays.name: Arrays, Counts.name: Counts}


@cache
def _of_other_packages() -> dict[str, type[Modality]]:
    found = {}
    for point in entry_points(group=GROUP):
        try:
            found[point.name] = point.load()
        except Exception as error:  # whatever a stranger's module raises, the others are to work
            warn_caller(
                f"The modality {point.name!r} of {point.value} cannot be imported ({type(error).__name__}: {error}) and is left "
                "out: update the package that brings it, or remove it."
            )
    return found
