"""The report as people meet it: on a desk, a phone, in the dark, by keys alone, without JavaScript, on paper. In Chromium.

TFUNC_WRITE_PICTURES=1 writes what the tests saw into docs/images, which docs/reference/report.md shows.
"""

import base64
import io
import os

import browser
import made_up_report
import numpy as np
import pytest
from conftest import ROOT
from made_up_maps import serial, without_pdf
from PIL import Image

KEPT = ROOT / "docs" / "images"
MOST = 300_000  # bytes of a picture in the repository

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The path of a whole report of made-up maps, with its figures."""
    if browser.find() is None:
        pytest.skip(f"none of {', '.join(browser.PROGRAMS)} is installed")
    with pytest.MonkeyPatch.context() as patch:
        without_pdf(patch)
        finished = made_up_report.evaluate(tmp_path_factory.mktemp("pages"), serial, test=14, valid=10)
    return finished.report


@pytest.fixture
def tab(page, tmp_path):
    found = browser.Page(browser.find(), tmp_path / "profile")
    yield found
    found.close()


def opened(tab, page, width=1280, height=900, media="", dark=False, script=True):
    """Opens the report so."""
    tab.size(width, height)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    tab("Emulation.setEmulatedMedia", media=media, features=[scheme])
    tab("Emulation.setScriptExecutionDisabled", value=not script)
    tab.open(page.as_uri())
    if script:
        tab.wait("[...document.images].every((one) => one.complete)")
        tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def shot(tab, width, height, top=0):
    """What is seen from `top` on, as an RGB array."""
    clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
    data = tab("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def keep(name, picture, tmp_path):
    """Writes a picture, small, beside the documents where that is asked for; it must show something."""
    image = Image.fromarray(picture).quantize(96)
    folder = KEPT if os.environ.get("TFUNC_WRITE_PICTURES") == "1" else tmp_path
    image.save(folder / f"report_{name}.png", optimize=True)
    assert (folder / f"report_{name}.png").stat().st_size < MOST
    ground = np.median(picture.reshape(-1, 3), axis=0)
    drawn = (np.abs(picture - ground).max(axis=2) > 40).mean()
    assert 0.02 < drawn < 0.9 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def top_of(tab, name):
    return tab.evaluate(f"document.getElementById('{name}').getBoundingClientRect().top + scrollY")


def test_on_a_desk(tab, page, tmp_path):
    """No table is wider than a usual window but by its own choice, and the summary is on the first screen."""
    opened(tab, page)
    assert top_of(tab, "in-short-title") < 900
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth") and tab.complaints == []
    keep("desktop", shot(tab, 1280, 1500), tmp_path)
    keep("calibration", shot(tab, 1280, 1500, top_of(tab, "calibration") + 330), tmp_path)


def test_on_a_phone(tab, page, tmp_path):
    """The page itself does not scroll sideways; a table that is wider than the phone does, and says so; others do not."""
    opened(tab, page, 390, 844)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    shown = "getComputedStyle({}, '::before').display !== 'none'"
    wide = "document.querySelector('#table1 .wide')"
    assert tab.evaluate(f"{wide}.scrollWidth > {wide}.clientWidth && {shown.format(wide)}")
    tab.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    every = "[...document.querySelectorAll('.wide')].filter((one) => one.clientWidth > 0)"
    tab.wait(f"{every}.every((one) => (one.scrollWidth > one.clientWidth + 2) === ({shown.format('one')}))")
    opened(tab, page, 390, 844)
    left, right = shot(tab, 390, 1300), shot(tab, 390, 1300, top_of(tab, "table1") - 20)
    keep("phone", np.hstack([left, np.full((1300, 20, 3), 128, np.uint8), right]), tmp_path)
    opened(tab, page, 1600, 900)
    assert not tab.evaluate(shown.format(wide))


def test_in_the_dark(tab, page, tmp_path):
    """Figures have no ground of their own: the page's dark one shows through them, and their letters are light on it."""
    opened(tab, page, dark=True)
    top = top_of(tab, "thresholds")
    keep("dark", shot(tab, 1280, 1500, top), tmp_path)
    where = "document.querySelector('.drawn img[alt=thresholds]').getBoundingClientRect()"
    box = tab.evaluate(f"[{where}.left, {where}.top + scrollY, {where}.width, {where}.height].map(Math.floor)")
    whole = shot(tab, 1280, box[3], box[1])[:, box[0] + 5 : box[0] + box[2] - 5].astype(float).mean(axis=2)
    assert np.median(whole) < 40 and whole.max() > 200
    (ground,) = {tuple(shot(tab, 1, 1, 5)[0, 0])}
    assert tuple(np.round(np.median(whole)).repeat(1)) == (round(np.mean(ground)),)


def test_figures_read_on_both_grounds(page):
    """The PNG files are transparent where nothing is drawn, and dark letters stand on it; the overlay is one of them."""
    for name in ("figure1", "thresholds", "calibration", "review", "failures", "overlay"):
        alpha = np.asarray(Image.open(page.parent / f"{name}.png").convert("RGBA"))[..., 3]
        assert alpha[0, 0] == 0 and (alpha == 0).mean() > 0.2 and (alpha == 255).any(), name


def test_by_keys(tab, page):
    """Tab from the curves comes to the methods beside them and stays there; a press chooses the method and keeps the focus."""
    opened(tab, page)
    tab.evaluate("document.getElementById('chart').focus()")
    tab.press("ArrowRight")
    caption = "document.getElementById('readout').caption.textContent"
    assert tab.evaluate(caption) == "At threshold 0.05"
    tab.press("Tab", 9)
    assert (
        tab.evaluate("document.activeElement.closest('#readout') !== null && document.activeElement.tagName")
        == "BUTTON"
    )
    assert tab.evaluate(caption) == "Each method's highest"
    tab.press("Tab", 9)
    tab.press("Enter")
    assert tab.evaluate("state.method") == 1
    assert tab.evaluate("document.activeElement.textContent === data.methods[1].title")
    assert tab.evaluate("document.querySelectorAll('#readout tr[aria-current]').length") == 1


VISIBLE = """[...document.querySelectorAll('main > section')].filter((one) => one.offsetParent !== null).map((one) =>
  [one.id, [...one.children].slice(1).map((at) => at.innerText.trim() + (at.querySelector('img') ? 'x' : '')).join('')])"""


def test_without_javascript(tab, page, tmp_path):
    """The notice is read first; no section is empty, the viewer's is gone; subjects stand in a table, lowest Dice first."""
    opened(tab, page, script=False)
    first = tab.evaluate("document.body.innerText.trim().slice(0, 60)")
    assert first.startswith("This page is read without JavaScript")
    sections = dict(tab.evaluate(VISIBLE))
    assert "viewer" not in sections and {"in-short", "review", "table1", "subjects", "thresholds"} <= set(sections)
    assert all(sections.values()), sections
    assert not tab.evaluate("[...document.querySelectorAll('select, input')].some((one) => one.offsetParent !== null)")
    dice = tab.evaluate(
        "[...document.querySelectorAll('#subject-table tbody tr')].map((row) => Number(row.cells[1].textContent))"
    )
    assert len(dice) == 14 and dice == sorted(dice)
    keep("noscript", shot(tab, 1280, 1500), tmp_path)


def test_on_paper(tab, page, tmp_path):
    """Light whatever the screen is; no control and no hint of scrolling is printed; it fits the paper's width."""
    opened(tab, page, 794, 1123, media="print", dark=True)
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for gone in ("nav", "#measure", "#find"):
        assert tab.evaluate(f"document.querySelector('{gone}').offsetParent === null"), gone
    hints = (
        "[...document.querySelectorAll('.wide')].every((one) => getComputedStyle(one, '::before').display === 'none')"
    )
    assert tab.evaluate(hints)
    tall = (
        "[...document.querySelectorAll('.drawn .wide img')].map((one) => parseFloat(getComputedStyle(one).maxHeight))"
    )
    assert max(tab.evaluate(tall)) < 900  # of 1017 on A4: a figure of very many methods is made smaller, not cut
    keep("printed", shot(tab, 794, 1123), tmp_path)
    pdf = base64.b64decode(tab("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 50_000
