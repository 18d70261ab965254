import json

import numpy as np
import pytest

from pyro_vmm.errors import UserError
from pyro_vmm.scoring import format_table, write_scores


def test_columns_are_aligned_numbers_right_and_text_left():
    table = format_table(
        [
            {"model": "vmm", "accuracy": 0.96712, "clusters": 14},
            {"model": "gaussian mixture", "accuracy": np.float32(0.5), "clusters": np.int64(100)},
        ]
    )
    assert table.splitlines() == [
        "model             accuracy  clusters",
        "----------------  --------  --------",
        "vmm                 0.9671        14",
        "gaussian mixture    0.5000       100",
    ]


def test_missing_values_are_dashes_and_columns_are_the_union_in_order_of_appearance():
    table = format_table([{"a": 1, "b": float("nan")}, {"a": None, "c": "x"}])
    assert [line.split() for line in table.splitlines()] == [
        ["a", "b", "c"],
        ["-", "-", "-"],
        ["1", "-", "-"],
        ["-", "-", "x"],
    ]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0.0, "0.0000"),
        (1.0, "1.0000"),
        (-0.12345, "-0.1235"),
        (14.256, "14.26"),
        (-1234.56, "-1234.6"),
        (0.000123, "1.230e-04"),
        (12345678.0, "1.235e+07"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (True, "True"),
        ("two\nlines", "two lines"),
    ],
)
def test_values_keep_about_four_digits_on_one_line(number, shown):
    assert format_table([{"name": number}]).splitlines()[-1].strip() == shown


def test_no_rows_are_no_text():
    assert format_table([]) == ""
    assert format_table([{}]) == ""


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    path = tmp_path / "new folder" / "scores.json"
    write_scores(
        path, {"nmi": float("nan"), "kl": np.float32("inf"), "rows": [{"ari": np.nan}, np.array([1.5, np.nan])]}
    )

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    scores = json.loads(path.read_text(), parse_constant=refuse)
    assert scores == {"nmi": None, "kl": None, "rows": [{"ari": None}, [1.5, None]]}


def test_numbers_keep_their_kind_and_full_precision(tmp_path):
    path = tmp_path / "scores.json"
    write_scores(
        path, {"clusters": np.int64(14), "accuracy": 1 / 3, "merged": np.bool_(True), 7: "seven", "of": (1, 2)}
    )
    scores = json.loads(path.read_text())
    assert scores == {"clusters": 14, "accuracy": 1 / 3, "merged": True, "7": "seven", "of": [1, 2]}
    assert isinstance(scores["clusters"], int)
    assert scores["merged"] is True


def test_what_cannot_be_written_leaves_the_earlier_file_as_it_was(tmp_path):
    path = tmp_path / "scores.json"
    write_scores(path, {"nmi": 0.5})
    with pytest.raises(UserError, match="object"):
        write_scores(path, {"nmi": object()})
    assert json.loads(path.read_text()) == {"nmi": 0.5}
