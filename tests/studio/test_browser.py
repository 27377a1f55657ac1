"""The studio in a real browser: its pages, keys and files, without an error and without a request elsewhere."""

import json

import pytest
from studios import looked_at, served, served_subject

import ganatomy
from ganatomy.studies.reader_study import make_study
from ganatomy.studio.subject import open_subject

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
        assert page.locator(".pane").count() == 4
        assert page.locator("#window option").all_inner_texts() == ["whole range", "lung", "mediastinum", "bone", "own"]
        box = page.locator(".pane canvas").nth(0).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert page.locator("#pointed").inner_text().endswith("HU")
        page.mouse.click(box["x"] + box["width"] / 2 + 20, box["y"] + box["height"] / 2)
        page.keyboard.press("PageDown")


def test_a_sample_is_steered_liked_and_written(run, tmp_path):
    with served([run.path], tmp_path) as address, looked_at() as (page, _):
        page.goto(address + "steer")
        wait_for_shown(page)
        page.keyboard.press("j")
        page.keyboard.press("l")
        page.locator("#learn").click()
        page.wait_for_selector(".slider")
        slider = page.locator(".slider input").first
        slider.focus()
        for _ in range(4):
            page.keyboard.press("ArrowRight")  # several positions, of which the newest counts
        page.wait_for_selector(".slider output:has-text('0.4')")
        page.wait_for_selector("#measures dd")
        page.keyboard.press("l")
        assert page.locator("#liked li").count() == 2
        page.locator("#write").click()
        page.wait_for_selector("#written:has-text('2 samples are in')")
        assert len(ganatomy.open(tmp_path / "liked")) == 2


@pytest.mark.parametrize("size", SIZES)
def test_samples_are_curated_by_keys(run, tmp_path, size):
    samples = ganatomy.sample(run.path, 6, seed=1, out=tmp_path / "samples").path
    with served([samples], tmp_path / "out") as address, looked_at(size) as (page, _):
        page.goto(address + "curate")
        page.wait_for_selector("body[data-measured]")
        page.locator("#sort").select_option(index=1)
        page.locator("#wall").focus()
        page.keyboard.press("a")
        page.wait_for_selector("body[data-decided='1']")
        page.keyboard.press("r")
        page.wait_for_selector("body[data-decided='2']")
        assert page.locator(".tile[data-decision=accept]").count() == 1
        assert is_within(page)
    decisions = json.loads((tmp_path / "out" / "samples-decisions.json").read_text())["decisions"]
    assert sorted(decisions.values()) == ["accept", "reject"]


def test_a_reader_who_loses_the_connection_loses_nothing(run, tmp_path):
    make_study(run.path, tmp_path / "study")
    subject = open_subject([tmp_path / "study"], tmp_path)
    with served_subject(subject) as (address, readers), looked_at() as (page, wrong):
        page.goto(readers)
        page.locator("#reader").fill("A")
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-shown='0001.png']")
        page.keyboard.press("5")
        page.wait_for_selector("body[data-kept='1']")
        page.context.set_offline(True)
        page.keyboard.press("2")
        page.wait_for_selector("#banner:has-text('does not answer')")
        page.context.set_offline(False)
        page.wait_for_selector("body[data-kept='2']")  # the rating was sent again
        for _ in range(6):
            before = page.locator("#where").inner_text()
            page.keyboard.press("3")
            page.wait_for_selector(f"#where:not(:has-text('{before}'))")
        page.locator("#send").click()
        page.wait_for_selector("body[data-finished]")
        wrong[:] = [words for words in wrong if "ERR_INTERNET_DISCONNECTED" not in words]
        page.goto(address + "judge")
        page.wait_for_selector("#results tr td:has-text('A')")
    answer = json.loads((tmp_path / "study" / "answers" / "A.json").read_text())
    assert [answer["ratings"][f"000{i}.png"] for i in (1, 2, 3)] == [5, 2, 3]


def test_a_training_is_planned(run, tmp_path):
    with served([run.path], tmp_path) as address, looked_at(SIZES[1]) as (page, _):
        page.goto(address + "plan")
        page.locator("#recipe").select_option("pggan-mammogram")
        page.locator("#shape").fill("40,32")
        page.keyboard.press("Enter")
        page.wait_for_selector("#verdict.fits:has-text('It fits')", timeout=60_000)
        assert page.locator("#parts dd").count() == 5
        assert is_within(page)
