"""The studio in a real browser: its pages, keys and files, without an error and without a request elsewhere."""

import pytest
from studios import looked_at, served

pytestmark = pytest.mark.ci

SIZES = [(1280, 800), (1024, 640)]


def wait_for_shown(page):
    page.wait_for_selector("body[data-shown]")  # a predicate would need eval, which the policy forbids


def is_within(page):
    """Whether nothing of the page lies beside the window."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("size", SIZES)
def test_a_training_is_watched(run, tmp_path, size):
    with served([run.path], tmp_path) as address, looked_at(size) as (page, _):
        page.goto(address)
        wait_for_shown(page)
        assert page.locator(".chart canvas").count() >= 5
        assert "complete" in page.locator("#now").inner_text()
        assert page.locator("#stop").is_disabled()
        before = page.locator("#grid").get_attribute("src")
        page.keyboard.press("k")
        assert page.locator("#grid").get_attribute("src") != before
        assert is_within(page)


@pytest.mark.parametrize("size", SIZES)
def test_images_are_looked_at(run, store, tmp_path, size):
    with served([run.path, store.path], tmp_path) as address, looked_at(size) as (page, _):
        page.goto(address + "look")
        wait_for_shown(page)
        assert page.locator(".pane").count() == 1
        width = float(page.locator("#width").input_value())
        box = page.locator(".pane canvas").bounding_box()
        page.mouse.move(box["x"] + 200, box["y"] + 150)
        page.mouse.down()
        page.mouse.move(box["x"] + 260, box["y"] + 150, steps=4)
        page.mouse.up()
        assert float(page.locator("#width").input_value()) > width
        for key in "j1f+-iimmw":
            page.keyboard.press(key)
        page.wait_for_selector("#items [aria-selected=true]:has-text('number 1')")
        page.locator("#layout").select_option("hanging")
        page.wait_for_selector(".stage.rows-2 .pane:nth-child(4)")
        assert "do not show one woman" in page.locator("#warning").inner_text()
        page.locator("#layout").select_option("two")
        page.wait_for_selector(".stage.rows-1 .pane:nth-child(2)")
        assert is_within(page)


def test_a_volume_is_looked_at_in_three_planes(hagan, tmp_path):
    with served([hagan.path], tmp_path) as address, looked_at() as (page, _):
        page.goto(address + "look")
        wait_for_shown(page)
        assert page.locator(".pane").count() == 3
        assert page.locator("#window option").all_inner_texts() == ["whole range", "lung", "mediastinum", "bone", "own"]
        box = page.locator(".pane canvas").nth(0).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert page.locator("#pointed").inner_text().endswith("HU")
        page.mouse.click(box["x"] + box["width"] / 2 + 20, box["y"] + box["height"] / 2)
        page.keyboard.press("PageDown")
