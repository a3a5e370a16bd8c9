"""The report of an evaluation in a browser, and while it is written."""

import io
import pathlib
import re
import shutil
import tracemalloc
import types

import numpy as np
import pytest
from evaluation.report.evaluations import IMAGE, SCRIPT, TABLE, evaluation, rows
from PIL import Image
from playwright.sync_api import sync_playwright

from keras_deeplab.evaluation.report.page import write_report

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
COLUMNS = ("index", "name", "mIoU", "aAcc", "worst_class", "classes_present", "pixels")
COLUMNS += ("ignored_pixels",)
UNDEFINED = "\N{EN DASH}"
PATIENCE = 120_000  # ms for a step of the browser, on a machine that is busy with other things
NO_SAMPLES = {"best": [], "worst": []}
STOPPED = {
    *("connect-src", "frame-src", "img-src", "script-src-attr", "script-src-elem"),
    *("style-src-attr", "style-src-elem"),
}
ATTACK = """async ([expected, patience]) => {
  const stopped = [];
  addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
  document.body.insertAdjacentHTML("beforeend", `
    <img src="https://example.invalid/a.png">
    <img src="data:," onerror="document.title = 'owned'">
    <p style="color: red">
    <link rel="stylesheet" href="https://example.invalid/a.css">
    <iframe src="https://example.invalid/"></iframe>`);
  const script = document.createElement("script");
  script.textContent = "document.title = 'owned'";
  document.body.append(script);
  await fetch("https://example.invalid/").catch(() => {});
  const end = Date.now() + patience;
  while (!expected.every((name) => stopped.includes(name)) && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return [document.title, ...stopped];
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """File and arguments of a report with 27 images."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    given = evaluation()
    write_report(path, **given)
    shown = {key: given[key] for key in ("title", "command")}
    return types.SimpleNamespace(path=path, rows=rows(27), **shown, **given["summary"])


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the PATH to show the report with")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=chromium, args=FLAGS.split(), timeout=PATIENCE
        )


@pytest.fixture
def show(browser, report):
    """Function that opens the report; at the end nothing may have been requested or complained."""
    requests, complaints, contexts = [], [], []

    def open_page(**settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(report.path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    own = [report.path.as_uri()] * len(contexts)
    assert [url for url in requests if not url.startswith("data:")] == own
    assert complaints == []


def texts(page, selector):
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def order(page):
    """Indices of the shown images, from top to bottom."""
    return [int(text) for text in texts(page, "#images tbody tr:visible td:first-child")]


def expected_order(shown, column, descending):
    """The same by Python: numbers in names as numbers, undefined last, ties as they came."""

    def key(row):
        if not isinstance(row[column], str):
            return row[column]
        parts = re.split(r"(\d+)", row[column])
        return [int(part) if part.isdigit() else part for part in parts]

    known = [row for row in shown if row[column] is not None]
    known.sort(key=key, reverse=descending)
    return [row["index"] for row in known + [row for row in shown if row[column] is None]]


def fraction(value):
    return UNDEFINED if value is None else f"{value:.4f}"


def test_images_begin_with_the_worst(show, report):
    page = show()
    assert order(page) == expected_order(report.rows, "mIoU", descending=False)
    assert texts(page, "[aria-sort=ascending]") == ["mIoU"]
    known = [row for row in report.rows if row["mIoU"] is not None]
    by_text = sorted(known, key=lambda row: str(row["pixels"]))
    assert by_text != sorted(known, key=lambda row: row["pixels"])  # or the next test shows little


def test_headings_sort_both_ways(show, report):
    page = show()
    headings = page.locator("#images thead th").all()
    for column, heading in zip(COLUMNS, headings, strict=True):
        for direction in ("ascending", "descending"):
            heading.locator("button").click()
            assert order(page) == expected_order(report.rows, column, direction == "descending")
            assert heading.get_attribute("aria-sort") == direction
            assert page.locator("[aria-sort]").count() == 1


def test_keys_sort(show, report):
    page = show()
    page.locator("#filter").focus()
    for _ in range(5):  # the frame of the table, then its headings
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert order(page) == expected_order(report.rows, "aAcc", descending=False)
    page.keyboard.press("Space")
    assert order(page) == expected_order(report.rows, "aAcc", descending=True)


def test_names_filter(show, report):
    page = show()
    for wanted in ("TILE1", "tile6/part_006", "onerror", "nowhere", ""):
        page.locator("#filter").fill(wanted)
        found = [row for row in report.rows if wanted.lower() in row["name"]]
        assert order(page) == expected_order(found, "mIoU", descending=False)
        assert texts(page, "#shown") == [f"{len(found)} of 27"]


def test_names_stay_text(show, report):
    page = show()
    assert page.title() == texts(page, "h1")[0] == report.title
    assert texts(page, "dd")[:2] == [f"r18_dubai {SCRIPT}", "dubai/tiles & more"]
    assert texts(page, "#command") == [report.command]
    assert texts(page, "#classes tbody th") == list(TABLE.names)
    names = [report.rows[index]["name"] for index in order(page)]
    assert texts(page, "#images tbody th") == names and any(IMAGE in name for name in names)
    assert page.locator("script").count() == 1
    assert page.locator("img:not([src^='data:image/'])").count() == 0
    assert page.locator("[onerror]").count() == 0


def test_policy_stops_what_gets_in(browser, report):
    page = browser.new_page()
    page.goto(report.path.as_uri())
    title, *stopped = page.evaluate(ATTACK, [sorted(STOPPED), PATIENCE])
    page.close()
    assert title == report.title
    assert set(stopped) == STOPPED


def test_figures_are_those_of_the_summary(show, report):
    page = show()
    for key in ("mIoU", "mAcc", "mDice", "mFscore", "mPrecision", "mBoundaryIoU", "ECE", "fwIoU"):
        ends = report.intervals.get(key)
        interval = f"{ends[0]:.4f}{UNDEFINED}{ends[1]:.4f}" if ends else ""
        assert texts(page, f"#{key} td") == [fraction(getattr(report, key)), interval]
    assert texts(page, ".headline strong") == [fraction(report.mIoU), fraction(report.aAcc)]
    per_class = report.per_class
    for index, row in enumerate(page.locator("#classes tbody tr").all()):
        cells = [cell.strip() for cell in row.locator("td").all_inner_texts()]
        keys = ("Acc", "Precision", "Fscore", "Dice", "BoundaryIoU", "BoundaryFscore")
        assert cells[1:7] == [fraction(per_class[key][index]) for key in keys]
        pixels = (per_class["labelled_pixels"][index], per_class["predicted_pixels"][index])
        assert cells[7:] == [f"{count:,}" for count in pixels]
        ends = report.intervals["IoU"][index]
        interval = [f"{ends[0]:.4f}{UNDEFINED}{ends[1]:.4f}"] if ends else []
        assert cells[0].split() == [fraction(per_class["IoU"][index]), *interval]
    page.evaluate("document.querySelectorAll('details').forEach((part) => part.open = true)")
    counts = [int(text.replace(",", "")) for text in texts(page, "#confusion tbody td")]
    assert counts == np.ravel(report.confusion).tolist()
    bins = [fraction(bin["accuracy"]) for bin in report.calibration["bins"]]
    assert texts(page, "#calibration td:last-child") == bins


def test_an_absent_class_has_dashes(show):
    page = show()
    assert texts(page, "#classes tbody tr:last-child td") == [UNDEFINED] * 7 + ["0", "0"]
    assert texts(page, "#unlabelled") == [f"Never labelled: {TABLE.names[4]}."]
    assert not re.search(r"\b(nan|none|null)\b", page.inner_text("body"), re.I)


def test_pictures_are_drawn(show):
    page = show()
    pictures = page.evaluate("[...document.images].map((i) => [i.naturalWidth, i.naturalHeight])")
    assert len(pictures) == 2 + 6 * 4
    assert pictures[2:] == [[320, 230]] * 24 and min(map(min, pictures)) > 0
    assert page.locator("img:not([alt])").count() == 0


def test_page_fits_the_screen(show):
    page = show()
    for width, scheme in ((400, "light"), (1280, "light"), (400, "dark"), (1280, "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        with Image.open(io.BytesIO(page.screenshot())) as screenshot:
            grey = np.asarray(screenshot.convert("L"))
        paper = np.bincount(grey.ravel()).argmax()
        assert paper == 255 if scheme == "light" else paper < 40
        ink = np.abs(grey.astype(int) - paper) > 150
        assert 0.005 < ink.mean() < 0.3


def test_print_shows_whole_tables(show):
    page = show(viewport={"width": 700, "height": 800})  # A4 without margins
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 700
    assert not page.locator("form").is_visible()
    heights = page.locator(".tall").evaluate("(part) => [part.clientHeight, part.scrollHeight]")
    assert heights[0] == heights[1] > 400
    paper = page.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"


def test_an_error_in_the_rows_keeps_the_old_report(tmp_path):
    def broken():
        yield from rows(5)
        raise OSError("the disk is gone")

    path = tmp_path / "report.html"
    for before in ([], [path]):
        with pytest.raises(OSError, match="the disk is gone"):
            write_report(path, **evaluation() | {"rows": broken(), **NO_SAMPLES})
        assert list(tmp_path.iterdir()) == before
        path.write_text("old")
    assert path.read_text() == "old"


def test_memory_does_not_depend_on_the_number_of_images(tmp_path):
    row, count = rows(1)[0], 2_000  # take 1 MB as text, and 1 MB as dicts

    def traced():
        tracemalloc.start()  # when the pictures are drawn
        for index in range(count):
            yield {**row, "index": index, "name": f"part_{index}"}

    try:
        write_report(tmp_path / "report.html", **evaluation() | {"rows": traced(), **NO_SAMPLES})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<bdi>part_") == count
    assert peak < 200_000


def test_names_that_are_no_unicode(tmp_path):
    name = pathlib.Path(b"caf\xe9.png".decode("utf-8", "surrogateescape")).name
    shown = [{**rows(1)[0], "name": name}]
    write_report(tmp_path / "report.html", **evaluation() | {"rows": shown, **NO_SAMPLES})
    assert r"<bdi>caf\udce9.png</bdi>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_nothing_labelled_at_all(tmp_path):
    def undefined(value):
        if isinstance(value, dict):
            return {key: undefined(part) for key, part in value.items()}
        if isinstance(value, list):
            return [undefined(part) for part in value]
        return None if isinstance(value, float) else 0 if isinstance(value, int) else value

    given = evaluation() | NO_SAMPLES | {"rows": []}
    summary = given["summary"]
    empty = undefined(summary) | {key: summary[key] for key in ("protocol", "runtime", "precision")}
    empty["intervals"]["level"] = 0.95
    for bin, full in zip(empty["calibration"]["bins"], summary["calibration"]["bins"], strict=True):
        bin.update(low=full["low"], high=full["high"])
    for intervals in (empty["intervals"], {**empty["intervals"], "mIoU": None, "IoU": None}):
        given["summary"] = empty | {"intervals": intervals}
        write_report(tmp_path / "report.html", **given)
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        words = re.sub("<[^>]*>", " ", text[text.index("<main>") : text.index("<script>")])
        assert not re.search(r"\b(none|nan)", words, re.IGNORECASE)
        assert not re.search(r"95 % interval\s*\d", words) and words.count(UNDEFINED) > 40
