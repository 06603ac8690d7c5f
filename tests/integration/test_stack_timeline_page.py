"""The page of a tenant's time in a real browser: what it shows to whom, and that it leaves nobody out.

With OTEL_DYNABASE_SCREENSHOTS=docs/images (`make screenshots`) what is seen here becomes the documents' pictures.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from examples.stack import browser as stack
from otel_dynabase.output.page import page as document
from tests import timeline_story as story

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDTHS = {"desktop": 1120, "phone": 360}
SCALES = {"desktop": 1, "phone": 2}
SCHEMES = ("light", "dark")
HOSTILE = (
    "<script>document.title='obeyed'</script><img src=x onerror=\"document.title='obeyed'\">",
    "\"></text></svg><iframe srcdoc='<script>parent.document.title=1</script>'></iframe>",
    "\u202e\u2066<style>*{display:none}</style>" + "long " * 2000,
)
SAID = """() => [...document.querySelectorAll('.said')]
  .filter(said => getComputedStyle(said).visibility === 'visible').map(said => said.textContent)"""
FOCUSED = "() => [...document.querySelectorAll('.mark')].indexOf(document.activeElement)"


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(**stack.launching())
        yield started
        started.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Open pages as they are seen on a width, in a scheme; whatever they asked for or complained of is an error."""
    contexts, trouble = [], []

    def open_page(text, width=1120, scheme="light", **context):
        file = tmp_path / "page.html"
        file.write_text(text)
        contexts.append(chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **context))
        page = contexts[-1].new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        page.on("request", lambda asked: trouble.append(asked.url) if asked.url != file.as_uri() else None)
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture(scope="module")
def told():
    return document(*story.window(), [])


def size(png):
    """Return width and height of a PNG file (its first chunk, IHDR)."""
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("device", WIDTHS)
def test_it_fits_and_looks_as_in_the_documents(opened, told, device, scheme, tmp_path):
    page = opened(told, WIDTHS[device], scheme, device_scale_factor=SCALES[device])
    assert page.evaluate("document.documentElement.scrollWidth") == WIDTHS[device]
    page.get_by_role("img", name="Tier, WARM, 18:20").focus()  # the demotion says why
    changes = page.get_by_role("heading", name="Changes")
    until = changes.evaluate("heading => heading.getBoundingClientRect().top + scrollY")
    shot = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": WIDTHS[device], "height": until - 16})
    name = f"timeline-{device}-{scheme}.png"
    (Path(os.environ.get("OTEL_DYNABASE_SCREENSHOTS", tmp_path)) / name).write_bytes(shot)
    committed = (IMAGES / name).read_bytes()
    assert size(shot) == pytest.approx(size(committed), rel=0.1)  # its letters are the machine's
    assert len(shot) < 400_000


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("device", WIDTHS)
def test_nobody_is_left_out(opened, told, device, scheme):
    """Axe finds nothing: names, roles, order of headings, contrast, tables, languages."""
    page = opened(told, WIDTHS[device], scheme, bypass_csp=True)
    page.evaluate(stack.axe().ensure().read_text())
    found = page.evaluate("axe.run()")
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]] == []
    assert {"color-contrast", "document-title", "html-has-lang", "svg-img-alt"} <= {
        rule["id"] for rule in found["passes"]
    }


@pytest.mark.parametrize("device", WIDTHS)
def test_the_keyboard_reaches_every_mark_in_order(opened, told, device):
    page = opened(told, WIDTHS[device])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the events"
    marks = page.locator(".mark")
    names = marks.evaluate_all("all => all.map(mark => mark.getAttribute('aria-label'))")
    for number, name in enumerate(names):
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUSED) == number
        (said,) = page.evaluate(SAID)
        assert name.endswith(f", {said}")
        assert page.locator(".hint").is_hidden()
    ring = marks.last.locator(".hit").evaluate("hit => getComputedStyle(hit).strokeWidth")
    assert ring == "2px"
    page.keyboard.press("Tab")
    assert page.evaluate(SAID) == []
    assert page.locator(".hint").is_visible()
    assert len(names) > 40


def test_the_skip_link_goes_to_the_events(opened, told):
    page = opened(told)
    page.keyboard.press("Tab")
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "events"


def test_what_is_pointed_at_is_said_instead_of_what_has_the_focus(opened, told):
    page = opened(told)
    page.get_by_role("img", name="Tier, COLD").focus()
    page.get_by_role("img", name="Cold starts").locator(".hit").hover()
    (said,) = page.evaluate(SAID)
    assert said.startswith("24 Nov 06:58:20: from COLD in 1.83 s")


def test_what_is_tapped_is_said(opened, told):
    page = opened(told, 360, has_touch=True)
    page.get_by_role("img", name="Circuit").locator(".hit").tap()
    (said,) = page.evaluate(SAID)
    assert "circuit open" in said


def test_on_a_telephone_a_row_is_still_a_row(opened, told):
    page = opened(told, 360)
    assert page.get_by_role("row").count() == len(story.EVENTS) + 1
    cells = page.get_by_role("row", name="tier transition").first.get_by_role("cell")
    assert cells.all_inner_texts()[:2] == ["24 Nov 18:20:09", "tier transition"]


def test_on_paper_it_is_whole_and_light(opened, told):
    page = opened(told, scheme="dark")
    page.emulate_media(media="print")
    assert page.locator(".hint").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".chart").is_visible()
    assert page.get_by_role("row").count() == len(story.EVENTS) + 1


def test_nothing_moves_for_anybody(opened, told):
    page = opened(told, reduced_motion="reduce")
    page.locator(".hit").first.hover()
    assert page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("text", HOSTILE, ids=["script", "markup", "long"])
def test_what_a_tenant_is_called_is_not_obeyed(opened, text):
    """Whatever it tried would be seen: as another title, a dialog, a request, or an element."""
    events = [
        story.event("12:00", "tier_transition", source_tier=text, target_tier=text, reason=text),
        story.event("13:00", "limit_hit", limit_type=text, action=text),
        story.event("14:00", "circuit_breaker_event", state=text, metadata={"breaker": text}),
        story.event("15:00", text, what=text),
    ]
    page = opened(document(*story.window(text, events, []), [text]), 360)
    assert page.title().endswith(": timeline")
    assert page.locator("script, iframe, img, body style").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert (
        page.locator("h1").inner_text().startswith(text[:20].replace("\u202e", "\\u202e").replace("\u2066", "\\u2066"))
    )
