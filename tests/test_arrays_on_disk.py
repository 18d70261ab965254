"""VMM takes arrays in files: the same numbers as from memory, and one sentence for what cannot be read."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pyro_vmm import VMM, UserError
from pyro_vmm.data import stored_arrays
from pyro_vmm.data.standardization import moments, moments_of_blocks
from pyro_vmm.data.stored_arrays import ArrayFile, open_array, stored_array
from pyro_vmm.observations import OnDisk

SMALL = {
    "latent_dim": 2,
    "num_components": 6,
    "max_epochs": 2,
    "batch_size": 32,
    "hidden": (16,),
    "random_state": 0,
    "device": "cpu",
}


@pytest.fixture
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.float32(rng.normal(size=(300, 5)) * [1, 10, 100, 1, 1] + 3 * rng.integers(0, 3, (300, 1)))


def saved(x: np.ndarray, folder: Path, kind: str) -> object:
    """The array in a file, opened as a user opens it."""
    if kind == "npy":
        np.save(folder / "x.npy", x)
        return np.load(folder / "x.npy", mmap_mode="r")
    if kind == "rows of a map":
        np.save(folder / "x.npy", np.concatenate([x[:7] * np.nan, x, x[:3]]))
        return np.load(folder / "x.npy", mmap_mode="r")[7:-3]
    if kind == "raw":
        x.tofile(folder / "x.raw")
        return np.memmap(folder / "x.raw", dtype=x.dtype, mode="r", shape=x.shape)
    if kind == "npz":
        np.savez(folder / "x.npz", labels=np.arange(len(x)), X=x)
        return open_array(folder / "x.npz")
    zarr = pytest.importorskip("zarr")
    stored = zarr.open_array(str(folder / "x.zarr"), mode="w", shape=x.shape, chunks=(64, 3), dtype=x.dtype)
    stored[:] = x
    return zarr.open_array(str(folder / "x.zarr"), mode="r")


KINDS = ["npy", "rows of a map", "raw", "npz", "zarr"]


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_from_a_file_has_the_bits_of_one_from_memory(x, tmp_path, kind, standardize):
    given = saved(x, tmp_path, kind)
    assert stored_array(given) is not None
    options = {**SMALL, "likelihood": "normal", "standardize": standardize}
    memory, disk = VMM(**options).fit(x), VMM(**options).fit(given)
    np.testing.assert_array_equal(disk.transform(given), memory.transform(x))
    np.testing.assert_array_equal(disk.predict_proba(given), memory.predict_proba(x))
    np.testing.assert_array_equal(disk.labels_, memory.labels_)
    assert disk.n_features_in_ == 5
    assert disk.score(given) == memory.score(x)


def test_no_more_is_in_memory_than_a_window(x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    _, observations, _ = VMM(**SMALL, likelihood="normal")._learn(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert isinstance(observations, OnDisk)


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
def test_moments_do_not_depend_on_blocks(x, rows_at_once):
    blocks = [x[first : first + rows_at_once] for first in range(0, len(x), rows_at_once)]
    for found, expected in zip(moments_of_blocks(lambda: iter(blocks)), moments(x), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_other_types_are_read_as_numbers(x, tmp_path):
    pixels = (np.abs(x) * 3 % 255).astype(">u2")
    np.save(tmp_path / "x.npy", pixels.reshape(300, 5, 1))
    array = stored_array(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert array is not None
    assert array.image_shape == (5, 1)
    np.testing.assert_array_equal(array.read(np.array([2, 3, 9])), pixels[[2, 3, 9]])


def test_arrays_by_columns_and_in_memory_are_left_to_numpy(x, tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    by_columns = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert stored_array(by_columns) is None
    assert stored_array(x) is None
    np.save(tmp_path / "y.npy", x)
    changed = np.load(tmp_path / "y.npy", mmap_mode="c")
    changed[0] = 7
    assert stored_array(changed) is None
    assert stored_array(np.load(tmp_path / "x.npy", mmap_mode="r")[[1, 2]]) is None
    with pytest.raises(UserError, match="stored by columns"):
        open_array(tmp_path / "x.npy")


@pytest.mark.parametrize("place", [5, 250])
@pytest.mark.parametrize(
    ("value", "likelihood", "sentence"),
    [
        (np.nan, "normal", "missing .NaN. .* observation {place} "),
        (-2.0, "bernoulli", "needs values in .* observation {place} "),
        (0.5, "poisson", "needs whole numbers.* observation {place} "),
    ],
)
def test_bad_values_are_refused_where_they_are(tmp_path, monkeypatch, place, value, likelihood, sentence):
    values = np.ones((300, 4), dtype=np.float32)
    values[place, 2] = value
    np.save(tmp_path / "x.npy", values)
    monkeypatch.setattr(stored_arrays, "BYTES_AT_ONCE", 100 * values[0].nbytes)
    with pytest.raises(UserError, match=sentence.format(place=place)):
        VMM(**SMALL, likelihood=likelihood).fit(np.load(tmp_path / "x.npy", mmap_mode="r"))


def test_other_features_are_refused(x, tmp_path):
    fitted = VMM(**SMALL, likelihood="normal").fit(x)
    np.save(tmp_path / "x.npy", x[:, :3])
    with pytest.raises(UserError, match="X has 3 features, but the fit has 5"):
        fitted.transform(np.load(tmp_path / "x.npy", mmap_mode="r"))


def test_a_compressed_archive_is_refused(x, tmp_path):
    np.savez_compressed(tmp_path / "x.npz", X=x)
    with pytest.raises(UserError, match=r"is compressed: write it with numpy\.savez"):
        open_array(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda path: path.unlink(), "has vanished while it was in use"),
        (lambda path: os.truncate(path, 400), "has changed while it was in use"),
        (lambda path: path.write_bytes(path.read_bytes()), "has changed while it was in use"),
    ],
)
def test_a_file_that_changes_or_vanishes_is_told_in_one_sentence(x, tmp_path, act, sentence):
    np.save(tmp_path / "x.npy", x)
    array = ArrayFile.of_map(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert array is not None
    array.read(np.arange(3))
    os.utime(tmp_path / "x.npy", ns=(1, 1))
    array = ArrayFile.of_map(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert array is not None
    act(tmp_path / "x.npy")
    with pytest.raises(UserError, match=sentence) as raised:
        array.read(np.arange(3))
    assert "resume from the last checkpoint" in str(raised.value)


@pytest.mark.parametrize(("whole", "sentence"), [(True, "has vanished"), (False, "has changed")])
def test_a_zarr_array_that_loses_chunks_is_not_read_as_zeros(x, tmp_path, whole, sentence):
    array = stored_array(saved(x, tmp_path, "zarr"))
    assert array is not None
    array.read(np.arange(3))
    if whole:
        shutil.rmtree(tmp_path / "x.zarr")
    else:
        next(path for path in (tmp_path / "x.zarr").rglob("*") if path.is_file() and "zarr" not in path.name).unlink()
    with pytest.raises(UserError, match=sentence):
        array.read(np.arange(3))
