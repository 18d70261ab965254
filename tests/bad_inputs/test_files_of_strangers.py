"""Models, checkpoints and data of a stranger's: nothing in them is executed, no claimed size believed, no other file read."""

import json
import os
import pickle
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes

import pyro_vmm
from pyro_vmm import VMM, SingleCellVMM, UserError
from pyro_vmm.data import load_input
from pyro_vmm.data.cell_files import read_cells
from pyro_vmm.single_cell.simulation import simulate_cells
from pyro_vmm.training import read_checkpoint
from pyro_vmm.training.checkpoint import write_checkpoint

ROOT = Path(pyro_vmm.__file__).parent
EXECUTES = re.compile(
    r"torch\.load|^\s*(import|from) (pickle|marshal|shelve|dill|joblib|yaml)|allow_pickle=True|yaml\.load"
    r"|(?<![\w.])(eval|exec|compile|__import__)\(|weights_only=False|read_pickle|shell=True|os\.system",
    re.MULTILINE,
)


def test_nothing_that_executes_what_it_reads_is_used_anywhere() -> None:
    for path in ROOT.rglob("*.py"):
        assert not EXECUTES.search(path.read_text()), path


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def payloads(trace: Path, scratch: Path) -> list[bytes]:
    """Pickled plainly, by torch, and inside an object array of NumPy's."""
    torch.save(Payload(trace), scratch / "torch")
    np.save(scratch / "numpy.npy", np.array([Payload(trace)], dtype=object), allow_pickle=True)
    names = ("torch", "numpy.npy")
    return [pickle.dumps(Payload(trace), protocol) for protocol in (0, 2, 5)] + [
        (scratch / name).read_bytes() for name in names
    ]


@pytest.fixture(scope="module")
def fitted() -> VMM:
    x = (np.random.default_rng(0).random((40, 5)) > 0.5).astype(np.float32)
    options: dict[str, Any] = {"latent_dim": 2, "num_components": 4, "hidden": (8,), "max_epochs": 1, "device": "cpu"}
    return VMM(**options, random_state=0).fit(x)


@pytest.fixture
def folder(fitted: VMM, tmp_path: Path) -> Path:
    fitted.save(tmp_path / "model")
    return tmp_path / "model"


def test_the_payload_would_run(tmp_path: Path) -> None:
    with (tmp_path / "pickle").open("wb") as file:
        pickle.dump(Payload(tmp_path / "trace"), file)
    pickle.loads((tmp_path / "pickle").read_bytes())
    assert (tmp_path / "trace").exists()


READERS: dict[str, Callable[[Path], Any]] = {
    "data.npy": load_input,
    "data.npz": load_input,
    "data.csv": load_input,
    "data.parquet": load_input,
    "cells.h5ad": read_cells,
}


@pytest.mark.parametrize("name", ["data.npy", "data.npz", "data.csv", "data.parquet", "cells.h5ad"])
def test_pickles_by_another_name_are_refused_and_not_run(name: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    for content in payloads(tmp_path / "trace", tmp_path):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=re.escape(name)) as caught:
            READERS[name](tmp_path / name)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "trace").exists()


def test_pickles_inside_an_archive_of_arrays_are_refused_and_not_run(tmp_path: Path) -> None:
    for member in ("X.npy", "labels.npy"):
        for content in payloads(tmp_path / "trace", tmp_path):
            with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
                archive.writestr(member, content)
            with pytest.raises(UserError, match=r"data\.npz"):
                load_input(tmp_path / "data.npz")
            assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_pickles_in_the_place_of_a_model_are_refused_and_not_run(name: str, folder: Path, tmp_path: Path) -> None:
    for content in payloads(tmp_path / "trace", tmp_path):
        (folder / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name} is damaged or "):
            VMM.load(folder)
        assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_pickles_in_the_place_of_a_checkpoint_are_refused_and_not_run(suffix: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "checkpoint", {"w": torch.zeros(2)}, {"seed": 0}, step=1).with_suffix(suffix)
    for content in payloads(tmp_path / "trace", tmp_path):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"No checkpoint in .* is whole .*{path.name} is damaged"):
            read_checkpoint(tmp_path / "checkpoint")
        assert not (tmp_path / "trace").exists()


# ---- sizes ---------------------------------------------------------------------------------------------------------------


def npy_bytes(shape: tuple[int, ...], held: int) -> bytes:
    header = str({"descr": "<f4", "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"\0" * held


@pytest.mark.parametrize("shape", [(10**15, 4), (2**62, 2**62), (3, 4)])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_that_claim_more_than_the_file_holds(suffix: str, shape: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / f"data{suffix}"
    if suffix == ".npy":
        path.write_bytes(npy_bytes(shape, 20))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("X.npy", npy_bytes(shape, 20))
    with pytest.raises(UserError) as caught:
        load_input(path)
    member = "X.npy" if suffix == ".npz" else path.name
    assert str(caught.value) == (
        f"{path} is truncated or damaged: {member} claims {4 * shape[0] * shape[1]} bytes (shape {shape}) and holds 20; write "
        "it again."
    )


def test_cells_that_claim_more_than_there_is_memory(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    simulate_cells(20, 5).write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["layers"].create_dataset("counts", (10**9, 10**6), "f4", chunks=(1000, 100))
    assert path.stat().st_size < 2**20
    with pytest.raises(
        UserError, match=r"cells.h5ad claims to hold 3\.73e\+06 GiB, more than this machine's memory of "
    ):
        read_cells(path)


def test_zarr_that_claims_more_than_there_is_memory(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    path = tmp_path / "cells.zarr"
    (path / "X").mkdir(parents=True)
    (path / "X" / ".zarray").write_text(json.dumps({"shape": [10**9, 10**6], "dtype": "<f4", "zarr_format": 2}))
    with pytest.raises(UserError, match=r"cells.zarr claims to hold 3\.73e\+06 GiB"):
        read_cells(path)


def safetensors(header: dict[str, Any] | bytes, claimed: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text


HUGE = {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}
WEIGHTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "a header that claims 1e15 bytes": lambda good: safetensors(b"{}", 10**15),
    "a tensor that claims 1e12 numbers": lambda good: safetensors({"a": HUGE}),
    "a header that is no JSON": lambda good: safetensors(b"[" * 1000),
    "cut short": lambda good: good[:-10],
    "longer than told": lambda good: good + b"more",
}
OTHERS: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "a tensor missing": lambda good: dict(list(good.items())[1:]),
    "a tensor too many": lambda good: good | {"model.evil": torch.zeros(2)},
    "a foreign name": lambda good: good | {"evil": torch.zeros(2)},
    "another shape": lambda good: {name: value.reshape(-1).repeat(2) for name, value in good.items()},
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_damaged_weights(name: str, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(WEIGHTS[name](path.read_bytes()))
    with pytest.raises(UserError) as caught:
        VMM.load(folder)
    assert str(caught.value) == f"{path} is damaged or no safetensors file: fit again."


@pytest.mark.parametrize("name", OTHERS)
def test_weights_of_another_model(name: str, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(tensor_bytes(OTHERS[name](read_tensors(path.read_bytes()))))
    with pytest.raises(UserError) as caught:
        VMM.load(folder)
    assert str(caught.value) == f"The weights in {path} do not fit the options in config.json beside it: fit again."


DAMAGED, MISFIT = "is damaged or not", "do not fit the options in config.json"
Change = Callable[[dict[str, Any]], Any]


def option(**values: Any) -> Change:
    return lambda config: config["options"].update(values)


def result(**values: Any) -> Change:
    return lambda config: config["fitted"].update(values)


def learned(**values: Any) -> Change:
    return lambda config: config["fitted"]["modality"].update(values)


def of_clusters(**values: Any) -> Change:
    return lambda config: config["fitted"]["clusters"].update(values)


CONFIGS: dict[str, tuple[Change, str]] = {
    "1e12 components": (
        option(num_components=10**12),
        "num_components is 1000000000000: it must be a whole number, at most",
    ),
    "1e9 components": (option(num_components=10**9), MISFIT),
    "1e30 latents": (
        option(latent_dim=10**30),
        "latent_dim is 1000000000000000000000000000000: it must be a whole number",
    ),
    "1e9 latents": (option(latent_dim=10**9), "latent_dim is 1000000000: it must be a whole number, at most 32768"),
    "30,000 latents": (option(latent_dim=30_000), MISFIT),
    "a layer of 1e9": (option(hidden=[10**9]), MISFIT),
    "100,000 layers": (option(hidden=[8] * 10**5), MISFIT),
    "a layer of text": (option(hidden=["a"]), "A width in hidden is 'a'"),
    "no features": (learned(mean=[], scale=[]), DAMAGED),
    "features of text": (learned(mean="many"), DAMAGED),
    "features of another type": (learned(dtype="object"), DAMAGED),
    "nothing learned": (result(modality=None), DAMAGED),
    "an unknown modality": (
        lambda config: config.update(kind="os:system"),
        "The modality 'os:system' is not known: import the module that registers it first.",
    ),
    "options in a list": (lambda config: config.update(options=[]), DAMAGED),
    "options of nothing": (lambda config: config.update(options=None), DAMAGED),
    "no options": (lambda config: config.pop("options"), DAMAGED),
    "an option too many": (option(evil=1), DAMAGED),
    "a result of nothing": (lambda config: config.update(fitted=None), DAMAGED),
    "a result in a list": (lambda config: config.update(fitted=[]), DAMAGED),
    "an order beyond the components": (of_clusters(order=[0, 1, 2, 9]), DAMAGED),
    "an order that repeats": (of_clusters(order=[0, 0, 0, 0]), DAMAGED),
    "an order too short": (of_clusters(order=[0]), DAMAGED),
    "clusters of nothing": (result(clusters=None), DAMAGED),
    "joined with none": (of_clusters(joined=[7, 7, 7, 7]), DAMAGED),
    "joined in a chain": (of_clusters(joined=[1, 2, 2, 3]), DAMAGED),
    "more clusters than components": (of_clusters(number=9), DAMAGED),
    "an order of text": (of_clusters(order="abc"), DAMAGED),
    "labels of text": (result(labels=["a"]), DAMAGED),
    "labels in a table": (result(labels=[[1], [2]]), DAMAGED),
    "a history of text": (result(history="abc"), DAMAGED),
    "a history of a number": (result(history=3), DAMAGED),
    "means of another length": (learned(mean=[0.0]), DAMAGED),
    "scales of text": (learned(scale=["a"]), DAMAGED),
    "names of another length": (learned(names=["a"]), DAMAGED),
    "no tree": (of_clusters(merge_tree=None), DAMAGED),
    "half a tree": (of_clusters(merge_tree={}), DAMAGED),
    "a tree of another size": (
        of_clusters(merge_tree={"criterion": "overlap", "representatives": [0], "masses": [1.0], "merges": []}),
        DAMAGED,
    ),
    "another likelihood": (option(likelihood="nb"), MISFIT),
    "an unknown likelihood": (option(likelihood="x"), "likelihood='x' is not known"),
    "an unknown prior": (option(prior="x"), "prior='x' is not known"),
    "an unknown version": (lambda config: config.update(version="x"), DAMAGED),
    "another format": (
        lambda config: config.update(format="torch"),
        "is not a model of pyro-vmm: give the folder of a fit.",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(name: str, folder: Path) -> None:
    change, sentence = CONFIGS[name]
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError) as caught:
        VMM.load(folder)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [10**12, 1e30, -1, "many", None])
def test_a_config_of_version_0_1_that_claims_other_features(number: Any, tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "stored_models" / "0.1.0" / "arrays", tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["fitted"]["n_features_in"] = number
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=DAMAGED):
        VMM.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"3",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"version":' + b"1" * 5000 + b"}",
    ],
    ids=["empty", "a list", "nothing", "a number", "no text", "deep lists", "deep objects", "a long number"],
)
def test_configs_that_are_none(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        VMM.load(folder)
    assert str(caught.value) == f"{folder / 'config.json'} is damaged or not a model of pyro-vmm: fit again."


CELL_CONFIGS: dict[str, tuple[Change, str]] = {
    "1e12 layers": (option(n_layers=10**12), "n_layers is 1000000000000: it must be a whole number, at most"),
    "1e9 layers": (option(n_layers=10**9), MISFIT),
    "1e9 components": (option(num_components=10**9), MISFIT),
    "1e9 units": (option(n_hidden=10**9), MISFIT),
    "layers of text": (option(n_layers="many"), "n_layers is 'many': it must be a whole number, at least 1."),
    "no seed": (lambda config: config["options"].pop("random_state"), DAMAGED),
    "1e9 categories": (
        lambda config: config["fitted"]["modality"]["encoding"]["categories"].update(batch=10**9),
        MISFIT,
    ),
    "shares of other batches": (learned(batch_shares=[1.0]), DAMAGED),
    "an order that repeats": (lambda config: config["fitted"]["clusters"].update(order=[0, 0, 0, 0]), DAMAGED),
}


@pytest.fixture(scope="module")
def model_of_cells() -> SingleCellVMM:
    adata = simulate_cells(60, 10, num_groups=2, num_batches=2, seed=1)
    SingleCellVMM.setup_anndata(adata, batch_key="batch")
    model = SingleCellVMM(adata, n_latent=2, num_components=4, n_hidden=8)
    model.train(max_epochs=1, batch_size=20)
    return model


@pytest.mark.parametrize("name", CELL_CONFIGS)
def test_configs_of_cells(name: str, model_of_cells: SingleCellVMM, tmp_path: Path) -> None:
    change, sentence = CELL_CONFIGS[name]
    model_of_cells.save(tmp_path)
    adata = simulate_cells(60, 10, num_groups=2, num_batches=2, seed=1)
    np.testing.assert_array_equal(SingleCellVMM.load(tmp_path, adata).predict(), model_of_cells.predict())
    config = json.loads((tmp_path / "config.json").read_text())
    change(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError) as caught:
        SingleCellVMM.load(tmp_path, adata)
    assert sentence in str(caught.value)


# ---- other files ---------------------------------------------------------------------------------------------------------


def link_to(file: h5py.File, other: Path) -> None:
    file["layers"]["counts"] = h5py.ExternalLink(str(other), "X")


def keep_in(file: h5py.File, other: Path) -> None:
    file["layers"].create_dataset("counts", (20, 5), "u1", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def map_from(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((20, 5), "f4")
    layout[:] = h5py.VirtualSource(str(other), "X", (20, 5))
    file["layers"].create_virtual_dataset("counts", layout)


@pytest.mark.parametrize("refer", [link_to, keep_in, map_from])
def test_cells_that_would_have_other_files_read(refer: Callable[[h5py.File, Path], None], tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "cells.h5ad"
    secret.write_bytes(b"a secret of the reader's" * 10)
    simulate_cells(20, 5).write_h5ad(path)
    with h5py.File(path, "a") as file:
        refer(file, secret)
    with pytest.raises(UserError, match=r"cells.h5ad (refers to|keeps '/layers/counts' in) another file"):
        read_cells(path)


def test_members_of_an_archive_are_never_unpacked(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with zipfile.ZipFile(inner / "data.npz", "w") as archive:
        archive.writestr("../../outside.npy", npy_bytes((10, 2), 80))
    assert load_input(inner / "data.npz").x.shape == (10, 2)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data.npz", "inner"]


def test_no_path_is_taken_from_a_config(folder: Path, tmp_path: Path) -> None:
    """What a config calls its input is told, never opened: a model loads without the file."""
    config = json.loads((folder / "config.json").read_text())
    config["fit"] = {"input": "/etc/passwd", "data_root": "../../", "label_column": None}
    (folder / "config.json").write_text(json.dumps(config))
    assert VMM.load(folder).n_features_in_ == 5


def test_a_model_behind_a_symbolic_link_is_a_model(folder: Path, tmp_path: Path) -> None:
    """Links are the reader's own affair: what they lead to is checked like any other file, and never executed."""
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert VMM.load(tmp_path / "link").n_features_in_ == 5
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(Path(__file__))
    with pytest.raises(UserError, match="is damaged or no safetensors file"):
        VMM.load(folder)


def test_a_model_is_never_written_through_a_link(folder: Path, fitted: VMM, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(tmp_path / "mine")
    fitted.save(folder, overwrite=True)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (folder / "config.json").is_symlink()
