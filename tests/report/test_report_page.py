import base64
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import BATCHES, FILE, GENE, LABELS

from pyro_vmm import VMM, SingleCellVMM
from pyro_vmm.command_line.main import main
from pyro_vmm.diagnosis import Diagnosis, Finding, stability
from pyro_vmm.report import write_report
from pyro_vmm.report.contents import SCORES, Contents, history_rows, told, unreliable
from pyro_vmm.report.fit_folder import read_fit
from pyro_vmm.report.page import render

ATTACK = "</script><script>alert(1)</script>"


class Page(HTMLParser):
    """Tags with their attributes, text by tag, and tables as rows of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif not self._open or self._open[-1] != "style":
            self.text += data
            if self.rows and ("td" in self._open or "th" in self._open):
                self.rows[-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def contents(**changes):
    empty = {
        "title": "t",
        "summary": "s",
        "facts": [],
        "notices": [],
        "diagnosis": None,
        "clusters": [],
        "colours": {},
        "pictures": [],
        "scores": [],
        "columns": [],
        "history": [],
        "history_note": "",
        "command": "pyro-vmm fit",
        "options": [],
        "versions": [],
        "data_sha256": "",
    }
    return Contents(**empty | changes)


@pytest.fixture(scope="module")
def hostile_page(hostile_report: Path) -> Page:
    return Page(hostile_report.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def images_page(images_fit: Path) -> Page:
    return Page(write_report(images_fit).read_text(encoding="utf-8"))


def test_names_from_the_data_are_told_and_never_become_markup(hostile_page: Page) -> None:
    assert len(hostile_page.scripts) == 1
    assert "alert" not in hostile_page.scripts[0]
    for attributes in hostile_page.all("img"):
        assert str(attributes["src"]).startswith("data:image/png;base64,")
    assert all(not name.startswith("on") for _, attributes in hostile_page.tags for name in attributes)
    for name in (GENE, *LABELS[:2], FILE):  # the third label is no cluster's most frequent one
        assert name in hostile_page.text
    assert any(batch in hostile_page.text for batch in BATCHES)


@pytest.mark.parametrize(
    "changes",
    [
        {"title": ATTACK},
        {"summary": ATTACK},
        {"facts": [(ATTACK, ATTACK)]},
        {"notices": [ATTACK]},
        {"command": ATTACK},
        {"options": [(ATTACK, ATTACK)]},
        {"versions": [(ATTACK, ATTACK)]},
        {"columns": [ATTACK], "history": [[ATTACK]], "history_note": ATTACK},
        {"data_sha256": ATTACK},
        {"diagnosis": Diagnosis((Finding(ATTACK, "fine", ATTACK, ATTACK),))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_part_of_the_page_is_escaped(changes) -> None:
    page = Page(render(contents(**changes)))
    assert len(page.scripts) == 1
    assert ATTACK.replace(" ", "") in page.text.replace(" ", "")


def test_the_page_loads_nothing_and_runs_only_its_own_script(images_page: Page) -> None:
    import hashlib

    policy = next(each["content"] for each in images_page.all("meta") if each.get("http-equiv"))
    allowed = dict(part.strip().split(" ", 1) for part in str(policy).split(";"))
    assert allowed["default-src"] == "'none'"
    assert allowed["img-src"] == "data:"
    digest = base64.b64encode(hashlib.sha256("".join(images_page.scripts).encode()).digest()).decode()
    assert allowed["script-src"] == f"'sha256-{digest}'"
    for tag, attributes in images_page.tags:
        for name in ("src", "href"):
            if tag != "svg" and attributes.get(name):
                assert str(attributes[name]).startswith(("data:", "#")), (tag, attributes[name])
        assert "style" not in attributes


def test_the_table_tells_what_the_folder_holds(hostile_fit: Path, hostile_page: Page) -> None:
    import anndata

    adata = anndata.read_h5ad(hostile_fit / "adata.h5ad")
    model = SingleCellVMM.load(hostile_fit, adata)
    clusters = pd.read_csv(hostile_fit / "clusters.csv")
    heading = next(row for row in hostile_page.rows if row and row[0] == "Cluster")
    rows = [row for row in hostile_page.rows if len(row) == len(heading) and row != heading]
    assert [int(row[0]) for row in rows] == sorted(clusters["cluster"].unique())
    assert len(rows) > 1
    for row in rows:
        cell = dict(zip(heading, row, strict=True))
        members = (clusters["cluster"] == int(row[0])).to_numpy()
        assert int(cell["Size"]) == members.sum()
        assert float(cell["Mean probability"]) == pytest.approx(clusters["probability"][members].mean(), abs=6e-4)
        assert float(cell["Weight"].split()[0]) == pytest.approx(100 * model.weights_[int(row[0])], abs=0.06)
        for column, name in (("donor", "Most frequent batch"), ("kind", "Most frequent label")):
            counts = adata.obs[column][members].value_counts()
            assert cell[name] == f"{counts.index[0]} ({100 * counts.iloc[0] / counts.sum():.0f} %)"
        second = clusters["second_choice"][members].value_counts()
        assert cell["Second choice"].startswith(f"{second.index[0]} (")


def test_pictures_have_words_for_readers_who_cannot_see_them(images_page: Page, hostile_page: Page) -> None:
    for page, fewest in ((images_page, 7), (hostile_page, 10)):
        images = page.all("img")
        assert len(images) >= fewest
        for image in images:
            assert len(str(image["alt"])) > 20
            assert int(str(image["width"])) > 300
            assert base64.b64decode(str(image["src"]).split(",")[1]).startswith(b"\x89PNG")
    words = " ".join(str(image["alt"]) for image in hostile_page.all("img"))
    assert "2 batches" in words
    assert "3 labels" in words
    assert "clusters in use of 8" in words


def test_facts_command_and_versions_are_those_of_the_fit(hostile_fit: Path, hostile_page: Page) -> None:
    config = json.loads((hostile_fit / "config.json").read_text())
    assert config["fit"]["command"] in hostile_page.text
    assert {"python", "torch", "pyro-ppl", "pyro-vmm"} <= config["versions"].keys()
    for version in config["versions"].values():
        assert version in hostile_page.text
    assert config["fit"]["data_sha256"] in hostile_page.text
    assert "column donor (2 batches)" in hostile_page.text
    assert "150" in hostile_page.text


def test_scores_are_those_of_the_labels_asked_for(hostile_fit: Path, hostile_page: Page) -> None:
    import anndata
    from sklearn.metrics import normalized_mutual_info_score

    kind = anndata.read_h5ad(hostile_fit / "adata.h5ad").obs["kind"].astype(str)
    nmi = normalized_mutual_info_score(kind, pd.read_csv(hostile_fit / "clusters.csv")["cluster"])
    told_nmi = next(row[1] for row in hostile_page.rows if row and row[0] == "NMI")
    assert float(told_nmi) == pytest.approx(nmi, abs=1e-4)
    assert "Clusters against kind" in hostile_page.text


def test_without_labels_none_are_told(images_page: Page) -> None:
    assert not [row for row in images_page.rows if row and row[0] == "NMI"]
    assert "by label" not in images_page.text
    assert "Most frequent label" not in images_page.text


def test_a_scored_fit_is_reported_with_the_labels_it_was_scored_with(images_fit: Path, tmp_path: Path) -> None:
    run = shutil.copytree(images_fit, tmp_path / "run")
    assert main(["score", str(run), "--labels", "labels"]) == 0
    page = Page(write_report(run).read_text())
    scores = json.loads((run / "scores.json").read_text())
    rows = {row[0]: row[1] for row in page.rows if len(row) == 3}
    assert rows["NMI"] == f"{scores['clusters']['nmi']:.4g}"
    assert rows["Average KL"] == told(scores["elbo_surgery"]["average_kl"])
    words = " ".join(str(image["alt"]) for image in page.all("img"))
    assert "10 labels" in words
    assert "labels in the embedding" in page.text
    assert "taken apart" in words


def scores_on(page: Page) -> dict[str, str]:
    return {row[0]: row[1] for row in page.rows if len(row) == 3}


def test_score_and_report_give_the_same_numbers(images_fit: Path, tmp_path: Path, no_pictures: None) -> None:
    """The surest observation names a cluster: from rounded probabilities it would be whichever comes first."""
    run = shutil.copytree(images_fit, tmp_path / "run")
    assert main(["score", str(run), "--labels", "labels"]) == 0
    stored = json.loads((run / "scores.json").read_text())["clusters"]
    table = read_fit(run).clusters
    assert table is not None
    with np.load(images_fit.parent / "images.npz") as data:
        probabilities = VMM.load(run).predict_proba(data["X"].reshape(200, -1))
    np.testing.assert_array_equal(table["probability"], probabilities.max(1))
    # As version 0.1 wrote it, and worse.
    table["probability"] = table["probability"].round(0)
    table.to_csv(run / "clusters.csv", index=False)
    for labels in (None, "labels"):
        rows = scores_on(Page(write_report(run, labels=labels).read_text()))
        for key in ("accuracy_many_to_one", "accuracy_surest_observation", "nmi_merged"):
            assert rows[SCORES[key][0]] == told(stored[key]), key


def test_scores_of_version_0_1_are_reported_by_their_present_names(
    images_fit: Path, tmp_path: Path, no_pictures: None
) -> None:
    run = shutil.copytree(images_fit, tmp_path / "run")
    scores = {"accuracy_many_to_one": 0.25, "purity": 0.75}
    (run / "scores.json").write_text(json.dumps({"clusters": scores, "labels": "labels"}))
    rows = scores_on(Page(write_report(run).read_text()))
    assert (rows["Accuracy, many to one"], rows["Accuracy, surest observation"]) == ("0.75", "0.25")


def test_severity_is_told_in_words_and_advice_after_it() -> None:
    diagnosis = Diagnosis(
        (
            Finding("posterior collapse", "warning", "7 of 10 dimensions are dead.", "Lower the learning rate.", 7.0),
            Finding("convergence", "notice", "It still rose."),
            Finding("weights", "fine", "All is well."),
        )
    )
    page = Page(render(contents(diagnosis=diagnosis)))
    places = [
        page.text.index(words)
        for words in (
            "There are warnings",
            "Warning: posterior collapse",
            "7 of 10 dimensions are dead.",
            "Lower the learning rate.",
            "Notice: convergence",
            "Fine: weights",
        )
    ]
    assert places == sorted(places)
    healthy = Page(render(contents(diagnosis=Diagnosis(diagnosis.findings[1:]))))
    assert "No warning among 2 findings." in healthy.text


@pytest.mark.parametrize("cells", [False, True])
def test_the_diagnosis_of_what_was_fitted_is_told(images_fit, hostile_fit, monkeypatch, no_pictures, cells) -> None:
    asked = []

    def diagnose(fit, observed, *, labels, batches, batch_key):
        assert (labels, batches, batch_key) == (None, None, None)
        asked.append(observed)
        return Diagnosis((Finding("a look", "notice", "This was looked at."),))

    monkeypatch.setattr("pyro_vmm.report.seen.diagnose", diagnose)
    page = Page(write_report(hostile_fit if cells else images_fit).read_text(encoding="utf-8"))
    assert "Notice: a look" in page.text
    assert len(asked) == 1
    observations = asked[0].observations
    assert (len(observations), observations.num_features) == ((150, 20) if cells else (200, 64))


def test_long_histories_are_thinned_and_keep_their_end() -> None:
    history = pd.DataFrame({"epoch": np.arange(1, 351), "elbo": np.linspace(-9, -1, 350)})
    columns, rows, note = history_rows(history)
    assert columns == ["epoch", "elbo"]
    assert len(rows) <= 101
    assert (rows[0][0], rows[-1]) == ("1", ["350", "−1"])
    assert "One epoch in 4 and" in note
    assert len(history_rows(history[:7])[1]) == 7


def test_numbers_are_told_as_people_write_them() -> None:
    values = [True, 12345, -3, 0.123456, float("nan"), None, [1, 2], {"a": 1.0}, [], "x"]
    assert [told(value) for value in values] == ["yes", "12,345", "−3", "0.1235", "–", "–", "1, 2", "a: 1", "–", "x"]


def test_a_report_is_the_same_every_time_and_leaves_nothing_else(images_fit: Path, images_page: Page) -> None:
    before = {path.name for path in images_fit.iterdir()}
    assert write_report(images_fit).read_text(encoding="utf-8") == images_page.source
    assert {path.name for path in images_fit.iterdir()} == before


def test_the_first_sentence_says_where_other_seeds_find_other_clusters() -> None:
    same, other = np.arange(60) % 3, np.arange(60) // 20
    assert unreliable(None) == ""
    assert unreliable(stability([same, same])) == ""
    assert unreliable(stability([same, other])).startswith("Other seeds find other clusters: two of 2 fits agree")
