"""Names, defaults and checks as one face has them: the options of :class:`pyro_vmm.VMM`, of ``SingleCellVMM``, or of another.

Every function is given the entries that it is about, and the face; names are those of the entries in a face that is not
known. Where two entries have one name, the later one counts, so that a modality can replace an option of all modalities.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pyro_vmm.option_checks import plain_options
from pyro_vmm.options.entry import ARRAYS, Entry


def by_name(name: str, entries: Iterable[Entry], face: str = ARRAYS) -> Entry:
    """Look an entry up by what the face calls it.

    Raises
    ------
    KeyError
        If there is none.
    """
    return _in_face(entries, face)[name]


def defaults(entries: Iterable[Entry], face: str = ARRAYS) -> dict[str, Any]:
    """Defaults by the face's names."""
    return {name: entry.of_face(face).default for name, entry in _in_face(entries, face).items()}


def checked(values: Mapping[str, Any], entries: Iterable[Entry], face: str = ARRAYS) -> dict[str, Any]:
    """Values by the face's names, all that their entries check checked, and numbers of NumPy and torch as Python's own.

    Raises
    ------
    UserError
        For the first value that cannot be, with its name as its ``option``.
    KeyError
        For a name that is no option.
    """
    known = _in_face(entries, face)
    checks = {name: known[name].of_face(face).check for name in values}
    return {
        name: value if (check := checks[name]) is None else check(value, name)
        for name, value in plain_options(values).items()
    }


def canonical(values: Mapping[str, Any], entries: Iterable[Entry], face: str) -> dict[str, Any]:
    """Values by the entries' own names; what is no option keeps its name."""
    known = _in_face(entries, face)
    return dict(
        _renamed(known[name], value, face, known[name].name) if name in known else (name, value)
        for name, value in values.items()
    )


def of_face(values: Mapping[str, Any], entries: Iterable[Entry], face: str) -> dict[str, Any]:
    """Values by the face's names, the inverse of :func:`canonical`; what is no option keeps its name."""
    known = {entry.name: entry for entry in entries}
    return dict(
        _renamed(known[name], value, face, known[name].of_face(face).name) if name in known else (name, value)
        for name, value in values.items()
    )


def names_in(entries: Iterable[Entry], face: str) -> dict[str, str]:
    """What the face calls the options, by their own names, where these differ."""
    named = {entry.name: entry.of_face(face).name for entry in entries}
    return {own: theirs for own, theirs in named.items() if own != theirs}


def may_differ(entries: Iterable[Entry]) -> frozenset[str]:
    """Names, in any face, of what may change when a training goes on."""
    return frozenset(name for entry in entries if entry.may_differ for name in entry.names)


def of_earlier_versions(entries: Iterable[Entry]) -> dict[str, Any]:
    """What options were where a model or training of an earlier version does not name them."""
    return {entry.name: entry.earlier for entry in entries if entry.earlier is not ...}


def begun_with_earlier_defaults(entries: Iterable[Entry], begun: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a training begun, as far as they are version 0.1's defaults and others than today's."""
    before = {entry.name: entry.default_before for entry in entries if entry.default_before is not ...}
    return {name: value for name, value in before.items() if begun.get(name, ...) == value}


def _in_face(entries: Iterable[Entry], face: str) -> dict[str, Entry]:
    by_own_name = {entry.name: entry for entry in entries}
    return {entry.of_face(face).name: entry for entry in by_own_name.values()}


def _renamed(entry: Entry, value: Any, face: str, name: str) -> tuple[str, Any]:
    complement = face in entry.otherwise and entry.otherwise[face].complement
    return name, 1.0 - value if complement else value
