"""What the page says of itself in a browser: what is in use, what waits, what is not known yet."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from .browsing import CHROMIUM, LONG, SPEC

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: extra [test-browser]")
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here"),
]
expect = api.expect


def test_what_acts_in_a_folded_section_is_told(page: Any) -> None:
    start = page.get_by_text("Start from a picture")
    start.click()
    expect(page.locator("#start-used")).to_be_hidden()
    picture = page.evaluate("document.createElement('canvas').toDataURL().split(',')[1]")
    buffer = base64.b64decode(picture)
    page.set_input_files("#picture", {"name": "blue.png", "mimeType": "image/png", "buffer": buffer})
    start.click()
    expect(page.locator("#start-used")).to_have_text("in use: blue.png, strength 0.6")
    expect(page.locator("#start-used")).to_be_visible()
    start.click()
    page.click("#picture-away")
    expect(page.locator("#start-used")).to_be_hidden()


def test_costs_of_another_spec_are_grey(page: Any) -> None:
    plan = page.locator("#plan")
    expect(plan).to_contain_text("Steps4", timeout=LONG)
    held: list[Any] = []
    page.route("**/api/plan", lambda route: held.append(route))
    page.fill("#yaml", SPEC.replace("4", "7"))
    expect(plan).to_have_attribute("aria-busy", "true")
    for _ in range(LONG // 50):  # until it is asked for
        if held:
            break
        page.wait_for_timeout(50)
    expect(plan).to_have_attribute("aria-busy", "true")
    held[-1].continue_()
    expect(plan).to_contain_text("Steps7", timeout=LONG)
    assert plan.get_attribute("aria-busy") is None


def test_what_is_made_stays_in_sight_while_more_waits(page: Any) -> None:
    page.fill("#yaml", SPEC.replace("4", "400"))
    expect(page.locator("#verdict")).to_contain_text("fits", timeout=LONG)
    page.fill("#prompts", "a red circle")
    page.click("#go")
    expect(page.locator("#said")).to_contain_text("Step", timeout=LONG)
    page.fill("#prompts", "a blue star")
    page.click("#go")
    expect(page.locator("#waits")).to_have_text("1 waits")
    expect(page.locator("#queue")).to_contain_text("Waiting: a blue star")
    expect(page.locator("#said")).to_contain_text("Step")
    expect(page.locator("#shown")).to_be_visible()
    page.click("#stop")
    expect(page.locator("#waits")).to_be_hidden(timeout=LONG)
    expect(page.locator("#said")).to_contain_text(re.compile("Step|Loading"), timeout=LONG)
    expect(page.locator("#queue li")).to_have_count(0)
    page.click("#stop")
    expect(page.locator("#said")).to_have_text("Cancelled.", timeout=LONG)


def test_names_that_are_allowed_begin_with_those_of_the_server(page: Any) -> None:
    page.fill("#yaml", "extends: mine.yamll\n")
    told = page.locator("#problems li")
    expect(told).to_contain_text(re.compile(r"allowed: mine\.yaml, .*, and \d+ more"), timeout=LONG)


def test_results_and_tabs_are_in_sight(page: Any) -> None:
    page.fill("#prompts", "a red circle")
    page.set_viewport_size({**page.viewport_size, "height": 560})
    width = page.viewport_size["width"]
    for tab in page.locator("nav button").all():
        box = tab.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    page.click("#go")
    expect(page.locator("#said")).to_contain_text("Done", timeout=LONG)
    expect(page.locator("#shown")).to_be_in_viewport(ratio=0.5)


def test_a_picture_of_a_strangers_conditioner_is_asked_for_and_carried(page: Any) -> None:
    page.get_by_text("Classes, other texts, other pictures").click()
    expect(page.locator("#takes-told")).to_have_text("This model takes none of these.", timeout=LONG)
    page.select_option("#at-conditioners-0-", "acme-mood")
    told = "This model takes the picture mood, whose mood the image is to have."
    expect(page.locator("#takes-told")).to_have_text(told, timeout=LONG)
    page.fill("#other-name", "mood")
    picture = page.evaluate("document.createElement('canvas').toDataURL().split(',')[1]")
    buffer = base64.b64decode(picture)
    page.set_input_files("#other-file", {"name": "sad.png", "mimeType": "image/png", "buffer": buffer})
    expect(page.locator("#more-used")).to_have_text("in use: mood")
    page.fill("#prompts", "a red circle")
    page.click("#go")
    expect(page.locator("#said")).to_contain_text("Done", timeout=LONG)
    page.get_by_role("button", name="Take mood away").click()
    expect(page.locator("#more-used")).to_be_hidden()
    page.get_by_role("button", name="Restore").click()
    expect(page.locator("#more-used")).to_have_text("in use: mood", timeout=LONG)


def test_a_text_without_a_name_is_told(page: Any) -> None:
    page.get_by_text("Classes, other texts, other pictures").click()
    page.fill("#texts", "a red circle")
    expect(page.locator("#more-used")).to_have_text("in use: texts")
    page.click("#go")
    expect(page.locator("#said")).to_contain_text("“a red circle” has no =")


def test_what_a_model_does_not_follow_stands_below_its_images(page: Any) -> None:
    page.fill("#prompts", "a red circle\n" + "a blue star above a red circle " * 20)
    page.click("#go")
    told = re.compile(r"Done in [\s\S]*too long; not read")
    expect(page.locator("#said")).to_contain_text(told, timeout=LONG)
    expect(page.locator("#made .told").first).to_have_text("a red circle")  # each has its own prompt


def test_words_that_are_not_known_leave_what_is_shown_as_it_is(page: Any) -> None:
    page.fill("#prompts", "a red circle")
    page.click("#go")
    expect(page.locator("#said")).to_contain_text("Done", timeout=LONG)
    expect(page.locator("#walk-slider")).to_be_in_viewport()
    page.fill("#prompts", "a red cirle")
    page.click("#go")
    expect(page.locator("#said.bad")).to_contain_text("did you mean 'circle'?", timeout=LONG)
    expect(page.locator("#walk")).to_be_visible()


def test_an_empty_folder_says_how_it_is_filled(page: Any) -> None:
    page.route("**/api/images?*", lambda route: route.fulfill(json={"images": []}))
    page.click("#tab-history")
    expect(page.locator("#history-folder")).to_have_text("images")
    told = "There is no image in the folder images yet: Generate puts one there."
    expect(page.locator("#history-said")).to_contain_text(told, timeout=LONG)


def test_a_seed_is_kept_or_drawn_for_each_image(page: Any) -> None:
    page.fill("#prompts", "a red circle")
    page.fill("#seed", "11")
    page.click("#go")
    expect(page.locator("#said")).to_contain_text("Done", timeout=LONG)
    expect(page.locator("#seed")).to_have_value("11")
    page.check("#draw")
    page.click("#go")
    expect(page.locator("#seed")).not_to_have_value("11")
    drawn = page.input_value("#seed")
    expect(page.locator("#said")).to_contain_text("Done", timeout=LONG)
    page.fill("#seed", "12")
    page.get_by_role("button", name="Restore").click()
    expect(page.locator("#seed")).to_have_value(drawn, timeout=LONG)
    expect(page.locator("#draw")).not_to_be_checked()  # another one is not drawn in its place
