import numpy as np
import pytest

from pyro_vmm.data import load_input, load_labels
from pyro_vmm.errors import UserError

IDS = ["c", "a", "b"]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        "id,label\na,A\nb,B\nc,C\n",
        "label,ID\nC,c\nB,b\nA,a\n",
        "cell,kind\nb,B\n\nunseen,U\na,A\nc,C\n",
        "age,labels,index\n1,B,b\n2,A,a\n3,C,c\n",
        "\ufeffid,label\r\na,A\r\nb,B\r\nc,C\r\n",
    ],
)
def test_labels_with_ids_follow_the_ids_in_any_order(tmp_path, text):
    assert load_labels(write(tmp_path / "labels.csv", text), IDS).tolist() == ["C", "A", "B"]


def test_ids_and_labels_are_compared_as_written(tmp_path):
    path = write(tmp_path / "labels.csv", "id,label\n7,NA\n007,1\n")
    assert load_labels(path, np.array(["007", "7"])).tolist() == ["1", "NA"]


def test_labels_without_ids_are_taken_in_order(tmp_path):
    np.save(tmp_path / "labels.npy", np.array([2, 0, 1]))
    assert load_labels(str(tmp_path / "labels.npy"), IDS).tolist() == [2, 0, 1]
    assert load_labels(write(tmp_path / "labels.txt", "z\nx\ny\n"), IDS).tolist() == ["z", "x", "y"]
    assert load_labels(write(tmp_path / "labels.csv", "label\nz\nx\ny\n"), IDS).tolist() == ["z", "x", "y"]


def test_column_of_the_input_goes_before_a_file_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("kind.npy", np.array([9, 9, 9]))
    columns = {"kind.npy": np.array(["u", "v", "w"]), "other": None}
    assert load_labels("kind.npy", IDS, dataset_labels=columns).tolist() == ["u", "v", "w"]
    assert load_labels("./kind.npy", IDS, dataset_labels=columns).tolist() == [9, 9, 9]


def test_labels_of_a_data_set_are_known_by_its_name_for_them():
    digits = load_input("digits")
    named = load_labels("label", digits.ids, dataset_labels={digits.label_name: digits.labels})
    np.testing.assert_array_equal(named, digits.labels)
    np.testing.assert_array_equal(load_labels("label", digits.ids, dataset_labels=digits.labels), digits.labels)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "id,label\na,A\nc,C\n", "no label for 1 of 3 observations, the first with the id 'b'"),
        ("l.csv", "id,label\na,A\nb,\nc,C\n", "no label for 1 of 3 observations, the first with the id 'b'"),
        ("l.csv", "id,label\na,A\nb,B\na,C\nc,C\n", "more than one label for the id 'a'"),
        ("l.csv", "id,label\na,A\nb\nc,C\n", "1 fields in row 1"),
        ("l.csv", "id,one,two\na,1,2\n", "one column of labels beside its ids"),
        ("l.csv", "id,label,labels\na,1,2\n", "one column of labels beside its ids"),
        ("l.csv", "id,index,label\na,1,2\n", "more than one column of ids"),
        ("l.csv", "label\nz\nx\n", "2 labels for 3 observations"),
        ("l.csv", "label\nz\n\nx\n", "no label for observation 1"),
        ("l.txt", "label\nz\nx\ny\n", "4 labels for 3 observations"),
        ("l.txt", "z\n\ny\n", "no label for observation 1"),
        ("l.txt", "", "empty file"),
        ("l.dat", "z\nx\ny\n", "not a file of labels ending in .csv or .npy or .txt"),
    ],
)
def test_files_that_do_not_label_every_observation_are_refused(tmp_path, name, text, message):
    with pytest.raises(UserError, match=message):
        load_labels(write(tmp_path / name, text), IDS)


def test_arrays_that_do_not_label_every_observation_are_refused(tmp_path):
    path = str(tmp_path / "labels.npy")
    for labels, message in (
        (np.zeros((3, 1)), r"shape \(3, 1\)"),
        (np.zeros(4), "4 labels for 3 observations"),
        (np.array([0.0, 1.0, np.nan]), "no label for observation 2"),
    ):
        np.save(path, labels)
        with pytest.raises(UserError, match=message):
            load_labels(path, IDS)
    np.save(path, np.array(["a", None, "b"], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="pickled"):
        load_labels(path, IDS)
    with pytest.raises(UserError, match="no label for observation 1"):
        load_labels("kind", IDS, dataset_labels={"kind": np.array(["a", None, "b"], dtype=object)})


def test_unknown_names_and_missing_files_are_told_apart(tmp_path):
    with pytest.raises(UserError, match=r"'kinds' are neither a column of the input .known: 'kind'. nor a file"):
        load_labels("kinds", IDS, dataset_labels={"kind": np.array(IDS)})
    with pytest.raises(UserError, match="known: none"):
        load_labels("label", IDS)
    with pytest.raises(UserError, match="There is no file"):
        load_labels(str(tmp_path / "labels.csv"), IDS)
    with pytest.raises(UserError, match="is a folder"):
        load_labels(str(tmp_path), IDS)
