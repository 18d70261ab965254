"""Why an AnnData file or store could not be read: what is wrong, and what to do about it."""

import errno
import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pyro_vmm.data.other_formats import ANNDATA, READ_FORMATS, kind_of_group, kind_of_hdf5

NOTHING_BUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What file systems without locks answer."""
MAPPINGS = ("uns", "obsm", "varm", "obsp", "varp", "layers")
"""Parts of an AnnData whose entries can be removed one by one."""
_MAGIC = {b"\x1f\x8b": "gzip", b"PK": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_DAMAGE = re.compile(
    r"checksum|filter returned failure|inflate|decompress|signature|header version|object header|B-tree|heap"
    r"|address overflow|address undefined"
    r"|bad (?!.*plugin)|corrupt|truncated|unable to read|read failed",
    re.IGNORECASE,
)


def why_unreadable(path: Path, error: BaseException) -> str:
    """Say in one sentence why AnnData could not read ``path``, given what it raised.

    Only a file that is known to be damaged is to be written again: most others are sound.
    """
    chain = [each for each in (error, error.__cause__, error.__context__) if each is not None]
    reasons = [str(each) for each in chain]
    key = _key(chain)
    if any("pickle" in reason for reason in reasons):
        return f"{path} holds Python objects (pickled), which are never loaded: write it anew."
    return (
        _of_the_system(path, error, reasons[0])
        or _of_another_kind(path)
        or _of_another_version(path, reasons[0], key)
        or _of_compression(path, reasons[0], key)
        or _of_damage(path, reasons[0], key)
    )


def _key(chain: list[BaseException]) -> str | None:
    """The part that AnnData was reading, such as ``uns/thing``, from the note that it adds to an error."""
    for each in chain:
        for note in getattr(each, "__notes__", ()):
            found = re.search(r"reading key '(.*)' of .* from (/\S*)", note)
            if found and found[1]:
                return f"{found[2].strip('/')}/{found[1].strip('/')}".strip("/")
    return None


def _of_the_system(path: Path, error: BaseException, reason: str) -> str | None:
    """Locks, permissions and disks."""
    if not isinstance(error, OSError):
        return None
    number = error.errno or int((re.search(r"errno = (\d+)", reason) or ("", 0))[1])
    if "lock" in reason and number in NOTHING_BUT_LOCKS:
        return (
            f"{path} lies on a file system without locks, which HDF5 asks for: set the environment variable "
            "HDF5_USE_FILE_LOCKING=FALSE, or copy the file to another disk."
        )
    if "unable to lock file" in reason:
        return (
            f"{path} is locked, as another program has it open for writing: close it there, and then try again. The file "
            "itself may be sound."
        )
    if "already open for" in reason:
        return (
            f"{path} is marked as open for writing: close it where it is open. If the program that wrote it has crashed, clear "
            "the mark with h5clear --status, and check the file."
        )
    if isinstance(error, PermissionError):
        return f"{error.filename or path} cannot be read: check its permissions."
    if number and number != errno.EISDIR:
        return f"{path} cannot be read ({error.strerror or first_line(reason)}): check the disk or network it lies on."
    return None


def _of_another_kind(path: Path) -> str | None:
    """Files that are not AnnData's."""
    if path.is_dir():
        metadata, group = _zarr_root(path)
        if metadata is None:
            return f"{path} has no readable zarr.json or .zgroup, so it is no Zarr store, or not a whole one: check the folder."
        kind = kind_of_group(group, metadata)
    else:
        with path.open("rb") as file:
            start = file.read(2048)
        for magic, name in _MAGIC.items():
            if start.startswith(magic):
                return f"{path} is compressed with {name}, not an HDF5 file: unpack it, and give the .h5ad file that is in it."
        if b"\x89HDF\r\n\x1a\n" not in start:
            return (
                f"{path} is not an HDF5 file, as every .h5ad file is: check where it comes from, or download it again."
            )
        kind = kind_of_hdf5(path)
    if kind in (None, ANNDATA):
        return None
    what, how = kind
    if path.is_dir():
        what, how = what.replace(" file", " store"), how.replace("read_h5mu", "read_zarr")
    return f"{path} is {what}, which is not read whatever its name: {how}. What is read: {READ_FORMATS}."


def _zarr_root(path: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Attributes of a Zarr store, None if it has no metadata, and its parts."""
    group: dict[str, Any] = {each.name: each for each in path.iterdir() if each.is_dir()}
    for name, where in (("zarr.json", "attributes"), (".zattrs", None), (".zgroup", None)):
        try:
            facts = json.loads((path / name).read_text())
            return dict(facts.get(where, {}) if where else facts), group
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            continue
    return None, group


def _of_another_version(path: Path, reason: str, key: str | None) -> str | None:
    """Parts, or stores, that a newer AnnData or Zarr may have written."""
    spec = re.search(r"IOSpec\(encoding_type='([^']*)', encoding_version='([^']*)'\)", reason)
    if "No read method registered" in reason:
        what = "is a file" if key is None else f"holds {key!r}, a part"
        kind = f" (encoding-type {spec[1]!r}, version {spec[2]!r})" if spec else ""
        without = ""
        if key is not None and key.split("/")[0] in MAPPINGS:
            entry = "/".join(key.split("/")[:2])  # inside it, the rest might need the part
            how = "" if path.is_dir() else f", del h5py.File(copy, 'r+')[{entry!r}]"
            without = f", or give a copy without {entry!r}{how}"
        return (
            f"{path} {what} of a kind that anndata {version('anndata')} does not know{kind}; a newer one may have written it: "
            f"update it, pip install --upgrade anndata{without}."
        )
    if path.is_dir() and (
        "zarr_format" in reason or ((path / "zarr.json").exists() and version("zarr").startswith("2."))
    ):
        return (
            f"{path} is a Zarr store of a format that zarr {version('zarr')} does not know: update it, pip install --upgrade "
            "zarr."
        )
    return None


def _of_compression(path: Path, reason: str, key: str | None) -> str | None:
    """Filters and codecs that are not installed."""
    if path.is_dir():
        codec = re.search(r"(?:Unknown codec|codec not available|implementation for codec)[:\s'\"]*([\w.]+)", reason)
        if codec is None:
            return None
        return (
            f"{path} is compressed with the codec {codec[1]!r}{_at(key)}, which is not installed: install the package that has "
            "it. The store itself may be sound."
        )
    found = _missing_filter(path)
    if found is None:
        return None
    name, part = found
    return (
        f"{path} is compressed with the HDF5 filter {name} (in {part!r}), which is not installed: pip install hdf5plugin. The "
        "file itself may be sound."
    )


def _missing_filter(path: Path) -> tuple[str, str] | None:
    """The first filter of an HDF5 file that is not installed, and the array that needs it."""
    import h5py

    found: list[tuple[str, str]] = []

    def look(name: str, item: Any) -> bool | None:
        if not isinstance(item, h5py.Dataset):
            return None
        properties = item.id.get_create_plist()
        for place in range(properties.get_nfilters()):
            number, _, _, title = properties.get_filter(place)
            if not h5py.h5z.filter_avail(number):
                found.append((f"{number} {title.decode(errors='replace')!r}" if title else str(number), name))
                return True
        return None

    try:
        with h5py.File(path, "r") as file:
            file.visititems(look)
    except (OSError, KeyError, RuntimeError):
        return None
    return found[0] if found else None


def _of_damage(path: Path, reason: str, key: str | None) -> str:
    sizes = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", reason)
    if sizes:
        return (
            f"{path} is incomplete: {int(sizes[1]):,} of its {int(sizes[2]):,} bytes are there. Copy, download or write it "
            "again."
        )
    if _DAMAGE.search(reason):
        return f"{path} is damaged{_at(key)} ({first_line(reason)}): copy, download or write it again."
    return (
        f"{path} cannot be read by anndata {version('anndata')}{_at(key)} ({first_line(reason)}): check that AnnData wrote it, "
        f"and whether anndata.read_{'zarr' if path.is_dir() else 'h5ad'}(path) reads it."
    )


def _at(key: str | None) -> str:
    return "" if key is None else f" at {key!r}"


def first_line(text: str) -> str:
    """The start of what a library says, for a message."""
    line = " ".join((text.strip() or "no reason given").splitlines()[0].split()).rstrip(".: ")
    return line if len(line) <= 120 else line[:117] + "..."
