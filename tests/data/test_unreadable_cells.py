"""Files of cells that cannot be read: each kind of reason is told apart, and no sound file is to be written again."""

import errno
import fcntl
import gzip
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from pyro_vmm import UserError
from pyro_vmm.command_line.main import main
from pyro_vmm.data import load_input
from pyro_vmm.data.cell_files import read_cells
from pyro_vmm.data.other_formats import OTHER_FORMATS, READ_FORMATS
from pyro_vmm.single_cell import simulate_cells

# What AnnData says of formats to come, as it writes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Writing zarr v2 data"),
    pytest.mark.filterwarnings("ignore:zarr v3 autosharding"),
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
]


@contextmanager
def zarr_format(version: int) -> Iterator[None]:
    """AnnData writes Zarr of this version; releases that will write version 3 alone warn of the choice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with anndata.settings.override(zarr_write_format=version):
            yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    simulate_cells(20, 5, seed=0).write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    pytest.importorskip("zarr")
    with zarr_format(3):
        simulate_cells(20, 5, seed=0).write_zarr(tmp_path / "cells.zarr")
    return tmp_path / "cells.zarr"


def told(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_cells(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    return sentence


def is_said_to_be_sound(sentence: str) -> bool:
    return not any(word in sentence for word in ("damaged", "write it again", "anew", "again.", "incomplete"))


def test_a_file_that_another_program_has_open(path: Path) -> None:
    with path.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        sentence = told(path)
    assert "is locked, as another program has it open for writing: close it there" in sentence
    assert "damaged" not in sentence
    read_cells(path)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.EOPNOTSUPP, "unable to lock file, errno = 95"), "HDF5_USE_FILE_LOCKING=FALSE"),
        (OSError("Unable to open file (unable to lock file, errno = 37)"), "HDF5_USE_FILE_LOCKING=FALSE"),
        (
            OSError("Unable to open file (file is already open for write (may use <h5clear file>))"),
            "close it where it is open",
        ),
        (PermissionError(errno.EACCES, "unable to open file"), "check its permissions"),
        (OSError(errno.EIO, "Input/output error"), "cannot be read (Input/output error): check the disk or network"),
        (OSError("file read failed: errno = 5, error message = 'Input/output error'"), "check the disk or network"),
    ],
)
def test_what_the_system_refuses(error: OSError, advice: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(given: Path) -> Any:
        raise error

    monkeypatch.setattr(anndata, "read_h5ad", refuse)
    sentence = told(path)
    assert advice in sentence
    assert is_said_to_be_sound(sentence)


def test_a_folder_that_cannot_be_entered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert told(path).endswith("cannot be reached: check the permissions of its folder.")


def compress_with(number: int, path: Path) -> None:
    """Store the counts with a filter that is not installed."""
    with h5py.File(path, "r+") as file:
        group = file["X"]
        values = group["data"][:]
        del group["data"]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((len(values),))
        properties.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple(values.shape)
        dataset = h5py.h5d.create(group.id, b"data", h5py.h5t.NATIVE_FLOAT, space, properties)
        dataset.write_direct_chunk((0,), values.astype(np.float32).tobytes())


def test_a_compression_filter_that_is_not_installed_is_named(path: Path) -> None:
    compress_with(32999, path)
    sentence = told(path)
    assert (
        "is compressed with the HDF5 filter 32999 (in 'X/data'), which is not installed: pip install hdf5plugin"
        in sentence
    )
    assert is_said_to_be_sound(sentence)


def add_part_of_a_newer_anndata(key: str, path: Path) -> None:
    adata = read_cells(path)
    adata.uns["frame"] = pd.DataFrame({"thing": [1]})
    adata.obs["thing"] = 1
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file.pop(key, None)
        group = file.create_group(key)
        group.attrs["encoding-type"], group.attrs["encoding-version"] = "of-a-newer-anndata", "9.0"


@pytest.mark.parametrize("key", ["uns/thing", "obsm/thing", "layers/thing", "uns/deep/thing", "uns/frame/thing"])
def test_a_part_of_a_newer_anndata_is_named_and_can_be_left_out(key: str, path: Path) -> None:
    add_part_of_a_newer_anndata(key, path)
    sentence = told(path)
    assert f"holds {key!r}, a part of a kind that anndata " in sentence
    assert "(encoding-type 'of-a-newer-anndata', version '9.0')" in sentence
    assert "pip install --upgrade anndata" in sentence
    assert is_said_to_be_sound(sentence)
    entry = "/".join(key.split("/")[:2])
    advice = f"del h5py.File(copy, 'r+')[{entry!r}]"
    assert sentence.endswith(f"or give a copy without {entry!r}, {advice}.")
    copy = path.with_name("copy.h5ad")
    shutil.copy(path, copy)
    exec(advice, {"h5py": h5py, "copy": copy})
    assert read_cells(copy).shape == (20, 5)


def test_a_column_of_a_newer_anndata_is_named(path: Path) -> None:
    # Without it, the frame's list of its columns would be wrong, and the file could not be read at all.
    add_part_of_a_newer_anndata("obs/thing", path)
    assert told(path).endswith("pip install --upgrade anndata.")


def test_a_whole_file_of_a_newer_anndata(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["encoding-version"] = "9.0"
    sentence = told(path)
    assert "is a file of a kind that anndata " in sentence
    assert "(encoding-type 'anndata', version '9.0')" in sentence
    assert is_said_to_be_sound(sentence)


def mudata(file: h5py.File) -> None:
    file.attrs["encoding-type"], file.attrs["encoding-version"] = "MuData", "0.1.0"
    file.create_group("mod/rna")


def tenx(file: h5py.File) -> None:
    file["matrix/barcodes"], file["matrix/data"] = np.array([b"a"]), np.ones(1)


def old_tenx(file: h5py.File) -> None:
    file["GRCh38/barcodes"], file["GRCh38/genes"] = np.array([b"a"]), np.array([b"b"])


def loom(file: h5py.File) -> None:
    file["matrix"] = np.ones((2, 2))
    file.create_group("row_attrs")
    file.create_group("col_attrs")


@pytest.mark.parametrize(
    ("make", "what"), [(mudata, "MuData"), (tenx, "10x Genomics"), (old_tenx, "10x Genomics"), (loom, "Loom")]
)
def test_files_of_other_kinds_are_recognised_whatever_their_name(
    make: Callable[[h5py.File], None], what: str, tmp_path: Path
) -> None:
    for name in ("cells.h5ad", "cells.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            make(file)
    sentence = told(tmp_path / "cells.h5ad")
    assert what in sentence
    assert sentence.endswith(f". What is read: {READ_FORMATS}.")
    assert is_said_to_be_sound(sentence)
    with pytest.raises(UserError, match=what):
        load_input(tmp_path / "cells.h5")


@pytest.mark.parametrize("ending", [".h5", ".h5mu", ".loom"])
def test_anndata_by_another_name(path: Path, ending: str) -> None:
    renamed = path.rename(path.with_suffix(ending))
    with pytest.raises(UserError, match=rf"cells\{ending} is an AnnData file: give it a name that ends in \.h5ad\.$"):
        load_input(renamed)


@pytest.mark.parametrize("ending", [*OTHER_FORMATS, ".H5MU"])
def test_other_endings_are_told_what_is_read(ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"cells{ending}"
    path.write_bytes(b"")
    command = ["fit", str(path), "--batch-key", "donor", "--output", str(tmp_path / "out")]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert f"What is read: {READ_FORMATS}." in error


def test_an_unknown_ending_is_told_of_the_formats_of_cells_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"single cells in \.h5ad or \.zarr, or a file ending in \.npz"):
        load_input(tmp_path / "cells.xyz")


def test_files_cut_short_compressed_and_of_no_kind(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert f"is incomplete: {len(whole) // 2:,} of its {len(whole):,} bytes are there" in told(path)
    path.write_bytes(gzip.compress(whole))
    assert "is compressed with gzip, not an HDF5 file: unpack it" in told(path)
    path.write_text("gene,cell\n" * 100)
    assert "is not an HDF5 file, as every .h5ad file is" in told(path)
    with h5py.File(path, "w") as file:
        file["foo"] = np.ones(3)
    assert "check that AnnData wrote it" in told(path)


def test_damage_inside_a_file_is_called_so_with_its_place(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        values = file["X/data"][:]
        del file["X/data"]
        data = file["X"].create_dataset("data", data=values, compression="gzip", chunks=values.shape)
        data.id.write_direct_chunk((0,), b"no gzip at all" * 10)
    assert "is damaged at 'X' (" in told(path)


def test_sound_zarr_stores_are_read_whatever_their_format(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    adata = simulate_cells(20, 5, seed=0)
    for version in (2, 3):
        with zarr_format(version):
            adata.write_zarr(tmp_path / f"v{version}.zarr")
        np.testing.assert_array_equal(read_cells(tmp_path / f"v{version}.zarr").X.toarray(), adata.X.toarray())


def test_sound_zarr_stores_by_other_names(store: Path) -> None:
    zipped = shutil.make_archive(str(store.with_name("zipped")), "zip", store)
    archive = Path(zipped).rename(store.with_name("zipped.zarr"))
    assert told(archive).endswith("is a file, not a Zarr folder: unpack this archive, and give the folder.")
    folder = store.rename(store.with_suffix(".h5ad"))
    assert told(folder).endswith("is a Zarr store: give it a name that ends in .zarr.")
    with pytest.raises(UserError, match=r"is a Zarr store: give it a name that ends in \.zarr\.$"):
        load_input(folder.rename(store.with_suffix("")))


def metadata(store: Path, part: str, change: Callable[[dict[str, Any]], None]) -> None:
    for name in (f"{part}/zarr.json", f"{part}/.zarray"):
        if (store / name).is_file():
            facts = json.loads((store / name).read_text())
            change(facts)
            (store / name).write_text(json.dumps(facts))
    root = store / "zarr.json"
    (store / ".zmetadata").unlink(missing_ok=True)
    if root.is_file():
        root.write_text(json.dumps(json.loads(root.read_text()) | {"consolidated_metadata": None}))


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_codecs_that_are_not_installed_are_named(version: int, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    store = tmp_path / "cells.zarr"
    with zarr_format(version):
        simulate_cells(20, 5, seed=0).write_zarr(store)

    def change(facts: dict[str, Any]) -> None:
        if version == 2:
            facts["compressor"] = {"id": "unheard"}
        else:
            facts["codecs"].append({"name": "unheard", "configuration": {}})

    metadata(store, "X/data", change)
    sentence = told(store)
    assert "is compressed with the codec 'unheard' at 'X', which is not installed" in sentence
    assert is_said_to_be_sound(sentence)


def test_zarr_stores_with_a_newer_part_of_another_kind_or_cut_short(store: Path) -> None:
    shutil.copytree(store, short := store.with_name("short.zarr"))
    shutil.rmtree(short / "X" / "indices")
    assert "is incomplete, it lacks X/indices" in told(short)
    shutil.copytree(store, other := store.with_name("other.zarr"))
    metadata(other, ".", lambda facts: facts["attributes"].update({"encoding-type": "MuData"}))
    assert "is a MuData store, which is not read" in told(other)
    assert "mudata.read_zarr(path)" in told(other)
    shutil.copytree(store, bare := store.with_name("bare.zarr"))
    (bare / "zarr.json").unlink()
    assert "has no readable zarr.json or .zgroup" in told(bare)
    (store / "uns" / "thing").mkdir()
    attributes = {"encoding-type": "of-a-newer-anndata", "encoding-version": "9.0"}
    node = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (store / "uns" / "thing" / "zarr.json").write_text(json.dumps(node))
    metadata(store, ".", lambda facts: None)
    sentence = told(store)
    assert "holds 'uns/thing', a part of a kind that anndata " in sentence
    assert is_said_to_be_sound(sentence)


def test_the_real_files_are_recognised_or_read() -> None:
    folder = Path("../shared/cases/files")
    if not folder.is_dir():
        pytest.skip("the folder with real files of AnnData is not here")
    for path in sorted([*folder.glob("*.h5ad"), *folder.glob("*.zarr")]):
        with suppress(UserError):
            read_cells(path)
            continue
        assert is_said_to_be_sound(told(path)), path
