"""The page in a real browser: nothing runs that should not, tables sort and filter, nothing overflows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, DRIVER, WHY_NOT, Chromium
from conftest import FILE, GENE

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=WHY_NOT)

COLUMN = """return Array.from(document.querySelectorAll("#cluster-table tbody tr"))
    .filter((row) => !row.hidden).map((row) => row.cells[%d].textContent.trim())"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


def sizes(browser: Chromium) -> list[int]:
    return [int(text.replace(",", "")) for text in browser.run(COLUMN % 1)]


def test_hostile_names_are_text_and_the_console_is_silent(browser: Chromium, hostile_report: Path) -> None:
    browser.open(hostile_report)
    assert browser.run("return document.querySelector('h1').textContent") == FILE
    assert browser.run("return document.scripts.length") == 1
    assert GENE in browser.run("return document.getElementById('cluster-table').textContent")
    assert browser.run("return Array.from(document.images).every((image) => image.naturalWidth > 300)")
    assert browser.complaints() == []


def test_the_policy_stops_scripts_that_are_not_the_pages_own(
    browser: Chromium, hostile_report: Path, tmp_path: Path
) -> None:
    # As if escaping had failed.
    forged = tmp_path / "forged.html"
    text = hostile_report.read_text(encoding="utf-8").replace("<main", "<script>window.forged = true</script><main", 1)
    forged.write_text(text, encoding="utf-8")
    browser.open(forged)
    assert browser.run("return window.forged === undefined")
    assert any("Content Security Policy" in message for message in browser.complaints())


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_sideways(browser: Chromium, hostile_report: Path, width: int) -> None:
    browser.open(hostile_report, width=width)
    # A phone's window grows with what overflows it.
    assert browser.run("return Math.max(document.documentElement.scrollWidth, window.innerWidth)") <= width
    outside = """return Array.from(document.querySelectorAll("body *")).filter((element) =>
        !element.closest(".scroll, .skip, [hidden], details:not([open])")
        && element.getBoundingClientRect().right > %d + 1).map((element) => element.outerHTML)"""
    assert browser.run(outside % width) == []


def test_headings_sort_by_click_and_by_key(browser: Chromium, hostile_report: Path) -> None:
    browser.open(hostile_report)
    before = sizes(browser)
    assert len(set(before)) > 1
    assert before == sorted(before, reverse=True)  # numbered from the largest
    browser.click("#cluster-table th:nth-child(2) button")
    assert sizes(browser) == sorted(before)
    heading = "return document.querySelector('#cluster-table th:nth-child(%d)').getAttribute('aria-sort')"
    assert browser.run(heading % 2) == "ascending"
    assert browser.run(heading % 1) is None
    browser.type_keys("\ue007")  # Enter, on the button that has the focus
    assert sizes(browser) == before
    assert browser.run(heading % 2) == "descending"
    browser.click("#cluster-table th:nth-child(7) button")
    batches = browser.run(COLUMN % 6)
    assert batches == sorted(batches)


def test_the_filter_keeps_the_rows_that_hold_the_text(browser: Chromium, hostile_report: Path) -> None:
    browser.open(hostile_report)
    everything = browser.run(COLUMN % 8)
    browser.click("#filter")
    browser.type_keys("frac")
    kept = browser.run(COLUMN % 8)
    table = browser.run("return Array.from(document.querySelectorAll('#cluster-table tbody tr'), (r) => r.textContent)")
    assert 0 < len(kept) < len(everything)
    assert len(kept) == sum("Frac" in row for row in table)
    assert browser.run("return document.getElementById('shown').textContent") == (
        f"{len(kept)} of {len(everything)} clusters"
    )
    browser.run("document.getElementById('filter').value = ''")
    browser.type_keys("zzz")
    assert browser.run(COLUMN % 8) == []


def test_what_is_folded_away_is_printed(browser: Chromium, hostile_report: Path) -> None:
    browser.open(hostile_report)
    assert browser.run("return document.querySelectorAll('details[open]').length") == 0
    browser.run("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.run("return document.querySelectorAll('details:not([open])').length") == 0


def test_dark_is_dark_and_legible(browser: Chromium, hostile_report: Path) -> None:
    colours = (
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor].map((c) => c.match(/\\d+/g))"
    )
    browser.open(hostile_report, dark=True)
    ink, paper = (sum(map(int, colour)) for colour in browser.run(colours))
    assert ink > 550 > 150 > paper
    browser.open(hostile_report)
    ink, paper = (sum(map(int, colour)) for colour in browser.run(colours))
    assert ink < 150 < 700 < paper
