import dataclasses
import os
import pickle
import sys

import numpy as np
import pandas as pd
import pytest

from pyro_vmm.data import load_input
from pyro_vmm.errors import UserError

X = np.array([[0.0, 1.5], [2.0, 0.0], [-3.0, 4.0]], dtype=np.float32)


class Trap:
    """An object that leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (os.fspath(self.path),)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_digits_are_scaled_images_with_labels():
    from sklearn.datasets import load_digits

    digits, source = load_input("digits"), load_digits()
    assert digits.x.dtype == np.float32
    np.testing.assert_array_equal(digits.x * 16, source.data)
    np.testing.assert_array_equal(digits.labels, source.target)
    np.testing.assert_array_equal(digits.feature_names, source.feature_names)
    np.testing.assert_array_equal(digits.ids, [str(row) for row in range(1797)])
    assert (digits.likelihood, digits.image_shape, digits.label_name) == ("bernoulli", (8, 8), "label")
    with pytest.raises(dataclasses.FrozenInstanceError):
        digits.x = X
    with pytest.raises(UserError, match="no column 'class'"):
        load_input("digits", label_column="class")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_array_files_give_back_the_array(tmp_path, suffix):
    path = tmp_path / f"cells{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, X)
    data = load_input(path)
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.ids, ["0", "1", "2"])
    np.testing.assert_array_equal(data.feature_names, ["feature_0", "feature_1"])
    assert (data.name, data.likelihood, data.labels, data.image_shape) == (path.name, "normal", None, None)


def test_binary_data_are_bernoulli_by_default(tmp_path):
    np.save(tmp_path / "x.npy", X > 0)
    assert load_input(tmp_path / "x.npy").likelihood == "bernoulli"


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_three_dimensions_are_images_in_row_order(tmp_path, suffix):
    images = np.arange(24.0).reshape(2, 3, 4)
    path = tmp_path / f"images{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, images)
    data = load_input(path)
    assert data.image_shape == (3, 4)
    np.testing.assert_array_equal(data.x, images.reshape(2, 12))
    assert data.feature_names[5] == "pixel_1_1"


@pytest.mark.parametrize("name", ["X", "x", "counts"])
def test_archive_keeps_ids_and_labels_apart_from_the_features(tmp_path, name):
    path = tmp_path / "cells.npz"
    np.savez(path, y=np.array([5, 6, 5]), ids=np.array(["c", "a", "b"]), **{name: X})
    data = load_input(path)
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.ids, ["c", "a", "b"])
    np.testing.assert_array_equal(data.labels, [5, 6, 5])
    assert data.label_name == "y"


def test_archive_prefers_the_array_called_x_and_the_labels_asked_for(tmp_path):
    path = tmp_path / "cells.npz"
    np.savez(path, umap=X[:, ::-1], X=X, labels=[0, 0, 0], cell_type=[1, 2, 3])
    data = load_input(path, label_column="cell_type")
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.labels, [1, 2, 3])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": X, "x_test": X}, "one array of data.*x_train, x_test"),
        ({"X": X, "x": X}, "one array of data"),
        ({"y": np.arange(3)}, "one array of data"),
        ({"X": X, "y": np.arange(3), "labels": np.arange(3)}, "at most one of labels"),
        ({"X": X, "y": np.arange(2)}, r"3 observations.*'y' has shape \(2,\)"),
        ({"X": X, "ids": np.array(["a", "b"])}, r"'ids' has shape \(2,\)"),
        ({"X": X, "ids": np.array(["b", "a", "b"])}, "id 'b' more than once"),
        ({"X": X, "ids": np.array(["b", "", "c"])}, "no id for observation 1"),
        ({"X": X, "ids": np.array([0.5, 1.0, 2.0])}, "ids of dtype float64"),
        ({"X": np.zeros((3, 2, 2, 2))}, "4 dimensions"),
        ({"X": np.zeros((1, 2))}, "1 observation"),
        ({"X": np.zeros((0, 2, 2))}, "has 3 dimensions|empty"),
        ({"X": np.array([["a"], ["b"]])}, "not numeric"),
    ],
)
def test_unclear_archives_are_refused(tmp_path, arrays, message):
    path = tmp_path / "cells.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message):
        load_input(path)


def test_pickled_content_is_refused_without_running_it(tmp_path):
    trap = tmp_path / "trap"
    objects = np.array([Trap(trap)] * 3, dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "objects.npz", X=X, extra=objects)
    for name in ("plain.npy", "plain.npz"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap(trap)))
    for name, message in (("objects.npy", "pickled"), ("objects.npz", "pickled"), ("plain.npy", "pickle")):
        with pytest.raises(UserError, match=message):
            load_input(tmp_path / name)
    with pytest.raises(UserError, match=r"not a NumPy .npz"):
        load_input(tmp_path / "plain.npz")
    assert not trap.exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.95])
def test_truncated_files_are_refused(tmp_path, suffix, fraction):
    path = tmp_path / f"cells{suffix}"
    values = np.random.default_rng(0).normal(size=(200, 5))
    if suffix == ".parquet":
        pd.DataFrame(values, columns=list("abcde")).to_parquet(path)
    else:
        (np.save if suffix == ".npy" else np.savez)(path, values)
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(UserError, match="truncated or damaged"):
        load_input(path)


def test_flipped_byte_in_an_archive_is_noticed(tmp_path):
    path = tmp_path / "cells.npz"
    np.savez(path, np.zeros((200, 5)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match="truncated or damaged"):
        load_input(path)


@pytest.mark.parametrize("name", ["digit", "cells.txt", "cells.h5", "nowhere.npz"])
def test_unknown_and_missing_inputs_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "cells.txt", "1\n2\n")
    with pytest.raises(UserError, match=r"no file nowhere.npz" if name == "nowhere.npz" else "digits, mnist.*or .npy"):
        load_input(name)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
def test_folders_and_empty_files_are_refused(tmp_path, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"empty{suffix}").touch()
    with pytest.raises(UserError, match="is a folder"):
        load_input(tmp_path / f"folder{suffix}")
    with pytest.raises(UserError, match="empty file"):
        load_input(tmp_path / f"empty{suffix}")


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr", "CELLS.H5AD"])
def test_single_cell_files_are_left_to_the_single_cell_model(name):
    with pytest.raises(UserError, match=f"{name} is for the single-cell model: .* SingleCellVMM"):
        load_input(name)


@pytest.mark.parametrize(
    ("text", "ids", "names"),
    [
        ("a,b\n0,1.5\n2,0\n-3,4\n", ["0", "1", "2"], ["a", "b"]),
        ("a,ID,b\n0,007,1.5\n2,7,0\n-3,NA,4\n", ["007", "7", "NA"], ["a", "b"]),
        ("a,b,Index\n0,1.5,3\n2,0,2\n-3,4,1\n", ["3", "2", "1"], ["a", "b"]),
        (",a,b\n10,0,1.5\n20,2,0\n30,-3,4\n", ["10", "20", "30"], ["a", "b"]),
        ("cell,a,b\nz,0,1.5\ny,2,0\nx,-3,4\n", ["z", "y", "x"], ["a", "b"]),
        ("\ufeffa,b\r\n0,1.5\r\n2,0\r\n\r\n-3,4\r\n", ["0", "1", "2"], ["a", "b"]),
        ('"a, in cm",b\n0,1.5\n2,"0"\n-3,4', ["0", "1", "2"], ["a, in cm", "b"]),
    ],
)
def test_csv_tells_ids_from_features(tmp_path, text, ids, names):
    data = load_input(write(tmp_path / "cells.csv", text))
    np.testing.assert_array_equal(data.x, X)
    assert data.ids.tolist() == ids
    assert data.feature_names.tolist() == names


def test_counted_numbers_are_column_names(tmp_path):
    pd.DataFrame(np.eye(3)).to_csv(tmp_path / "cells.csv", index=False)
    data = load_input(tmp_path / "cells.csv")
    assert data.feature_names.tolist() == ["0", "1", "2"]
    np.testing.assert_array_equal(data.x, np.eye(3))


def test_label_column_is_kept_as_written_and_is_no_feature(tmp_path):
    path = write(tmp_path / "cells.csv", "cell,a,kind,b\nz,0,01,1.5\ny,2,1,0\nx,-3,NA,4\n")
    data = load_input(path, label_column="kind")
    np.testing.assert_array_equal(data.x, X)
    assert data.ids.tolist() == ["z", "y", "x"]
    assert data.labels.tolist() == ["01", "1", "NA"]
    assert data.label_name == "kind"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1.5\n2,0\n-3,4\n", "number 0 among its column names"),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "number 5.1 among its column names"),
        ("z,0.5,0.25\ny,2,0\n", "number 0.5 among its column names"),
        ("a,b\n0,1\n2,3,4\n", "3 fields in line 3 but 2 column names"),
        ("a,b\n0,1,2\n2,3,4\n", "3 fields in line 2 but 2 column names"),
        ("a,b\n0,1,\n2,3,\n", "3 fields in line 2 but 2 column names"),
        ("a,b,c\n0,1,2\n2,3\n", "2 fields in line 3 but 3 column names"),
        ("cell,a,kind\nz,0,u\ny,2,u\n", "not numeric, 'kind'"),
        ("kind,a\nu,0\nu,2\n", "not numeric, 'kind'"),
        ("a,b\n0,1\n2,\n", r"1 missing.*observation 1 .*column 'b'"),
        ("cell,a\nz,\ny,2\n", r"1 missing.*named 'z', column 'a'"),
        ("a\n0\n\n2\n", "1 missing.*observation 1 "),
        ("a,a\n0,1\n2,3\n", "more than one column called 'a'"),
        ("a,\n0,1\n2,3\n", "no name for column 1"),
        ("a,b\n", "no observations"),
        ("\na,b\n0,1\n", "blank first line"),
        ("a;b\n0;1\n2;3\n", "semicolons"),
        ("id,a\nu,0\nu,1\n", "id 'u' more than once"),
        ("id,a\nu,0\n,1\n", "nothing in column 'id' for observation 1"),
        ("id,index,a\n0,0,0\n1,1,1\n", "several columns that could hold the ids, 'id', 'index'"),
        ("id\nu\nv\n", "no numeric column"),
        ("a,b\n1,2\n", "1 observation"),
        ('a,b\n"0,1\n2,3\n', "not a CSV file|not a well-formed"),
        ("a,b\n0,inf\n2,3\n", "1 infinite"),
    ],
)
def test_malformed_csv_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load_input(write(tmp_path / "cells.csv", text))


def test_csv_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "cells.csv").write_bytes("größe,b\n0,1\n".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        load_input(tmp_path / "cells.csv")
    (tmp_path / "later.csv").write_bytes(b"id,b\nu,1\n" + "größe,2\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"UTF-8|utf-8"):
        load_input(tmp_path / "later.csv")


def test_label_column_must_exist_and_be_full(tmp_path):
    path = write(tmp_path / "cells.csv", "a,kind\n0,u\n2,\n")
    with pytest.raises(UserError, match="no column 'type' for labels: its columns are 'a', 'kind'"):
        load_input(path, label_column="type")
    with pytest.raises(UserError, match="nothing in column 'kind' for observation 1"):
        load_input(path, label_column="kind")
    np.savez(tmp_path / "cells.npz", X=X)
    with pytest.raises(UserError, match="no array 'kind' for labels"):
        load_input(tmp_path / "cells.npz", label_column="kind")


@pytest.mark.parametrize(
    ("frame", "ids"),
    [
        (pd.DataFrame(X, columns=["a", "b"]), ["0", "1", "2"]),
        (pd.DataFrame(X, columns=["a", "b"], index=["u", "v", "w"]), ["u", "v", "w"]),
        (pd.DataFrame(X, columns=["a", "b"], index=pd.Index([5, 3, 4], name="cell")), ["5", "3", "4"]),
        (pd.DataFrame({"name": ["u", "v", "w"], "a": X[:, 0], "b": X[:, 1]}), ["u", "v", "w"]),
        (pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "id": [5, 3, 4]}), ["5", "3", "4"]),
    ],
)
def test_parquet_tells_ids_from_features(tmp_path, frame, ids):
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "cells.parquet")
    data = load_input(tmp_path / "cells.parquet")
    np.testing.assert_array_equal(data.x, X)
    assert data.ids.tolist() == ids
    assert data.feature_names.tolist() == ["a", "b"]


def test_parquet_labels_and_refusals(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "cells.parquet"
    pd.DataFrame({"a": X[:, 0], "kind": pd.Categorical(["u", "v", "u"]), "b": X[:, 1]}).to_parquet(path)
    assert load_input(path, label_column="kind").labels.tolist() == ["u", "v", "u"]
    with pytest.raises(UserError, match="not numeric, 'kind'"):
        load_input(path)
    pd.DataFrame({"id": [1, 2], "a": [0.0, 1.0]}, index=[7, 8]).to_parquet(path)
    with pytest.raises(UserError, match="several columns that could hold the ids, 'index', 'id'"):
        load_input(path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "cells.parquet", "anything")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="install pyarrow"):
        load_input(path)
