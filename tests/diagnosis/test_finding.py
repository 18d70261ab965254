"""A diagnosis as text and as data."""

import json

import pytest

from pyro_vmm.diagnosis import Diagnosis, Finding

FINDINGS = (
    Finding("first", "fine", "All is well."),
    Finding("second", "warning", "It is not." + " Very long." * 20, "Mend it.", 0.5),
    Finding("third", "notice", "So so."),
    Finding("fourth", "fine", "Well, too."),
)


def test_the_gravest_come_first_and_the_others_as_they_came() -> None:
    diagnosis = Diagnosis.of(FINDINGS)
    assert [finding.name for finding in diagnosis.findings] == ["second", "third", "first", "fourth"]
    assert not diagnosis.healthy
    assert Diagnosis.of(finding for finding in FINDINGS if finding.severity != "warning").healthy
    assert diagnosis["third"].sentence == "So so."
    with pytest.raises(KeyError):
        diagnosis["fifth"]


def test_the_text_counts_and_keeps_to_the_width_of_a_terminal() -> None:
    lines = str(Diagnosis.of(FINDINGS)).splitlines()
    assert lines[0] == "1 warning, 1 notice, 2 fine."
    assert lines[1].startswith("warning  second: It is not.")
    assert max(map(len, lines)) <= 110
    assert lines[-1] == "   fine  fourth: Well, too."
    assert str(Diagnosis(())).startswith("No warnings, 0 notices")


def test_five_are_printed_and_the_number_of_the_others() -> None:
    many = Diagnosis.of([*FINDINGS, *(Finding(f"well {place}", "fine", "Well.") for place in range(4))])
    lines = str(many).splitlines()
    assert lines[-1].strip() == "3 more: print(diagnosis.text())."
    assert "well 0" in str(many)
    assert "well 1" not in str(many)
    assert "well 3" in many.text()
    assert "more" not in many.text()


def test_dictionaries_are_ready_for_json() -> None:
    rows = json.loads(json.dumps(Diagnosis.of(FINDINGS).to_dict()))
    assert rows[0] == {
        "name": "second",
        "severity": "warning",
        "sentence": FINDINGS[1].sentence,
        "advice": "Mend it.",
        "value": 0.5,
    }
