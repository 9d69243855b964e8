"""The interactive map in a real browser, without a network."""
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from synthproxy.maps import clips, make_map
from synthproxy.synths import get_synth, sample
from synthproxy.umaps import classify

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
NAMES = ["E.PIANO 1", "BRASS 1", "TUB BELLS", "STEEL DRUM", "TRAIN", "AFTER 8", "PIANO 2", "<b>odd & name</b>"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    from playwright.sync_api import sync_playwright

    presets = sample(get_synth("dexed"), len(NAMES), seed=3)
    points = np.array([[i % 4, i // 4] for i in range(len(NAMES))], float)
    path = tmp_path_factory.mktemp("map") / "map.html"
    path.write_text(make_map("eight presets", points, NAMES, classify(NAMES), clips("dexed", presets)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"])
        context = browser.new_context(offline=True, viewport={"width": 900, "height": 700}, color_scheme="light")
        opened, trouble = context.new_page(), []
        opened.on("console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None)
        opened.on("pageerror", lambda error: trouble.append(str(error)))
        opened.on("requestfailed", lambda request: trouble.append(request.url))
        opened.goto(path.as_uri())
        opened.wait_for_function("window.ready")
        yield opened, trouble
        browser.close()


def said(opened) -> str:
    return opened.evaluate("Bokeh.documents[0].get_model_by_name('said').text")


def position(opened, i: int) -> tuple[float, float]: # of a point, on the screen
    return opened.evaluate("""i => {
        const models = [...Bokeh.documents[0]._all_models.values()], plot = Bokeh.index.find_one(models.find(m => m.type === 'Figure'));
        const data = models.find(m => m.type === 'ColumnDataSource').data, box = plot.el.getBoundingClientRect();
        return [box.x + plot.frame.x_scale.compute(data.x[i]), box.y + plot.frame.y_scale.compute(data.y[i])];
    }""", i)


def test_it_loads_alone_and_says_what_to_do(page):
    opened, trouble = page
    assert trouble == [] and said(opened) == "8 presets: click to hear one"


def test_a_click_plays(page):
    opened, trouble = page
    opened.mouse.click(*position(opened, 3))
    opened.wait_for_function("window.playing && !window.playing.paused && window.playing.duration > 1")
    assert said(opened) == "playing STEEL DRUM" and trouble == []


def test_the_search_filters(page):
    opened, trouble = page
    opened.get_by_placeholder("search names").fill("piano")
    opened.wait_for_function("Bokeh.documents[0].get_model_by_name('said').text === '2 of 8 names'")
    alpha = opened.evaluate("[...Bokeh.documents[0]._all_models.values()].find(m => m.type === 'ColumnDataSource').data.alpha")
    assert [i for i, a in enumerate(alpha) if a > .5] == [0, 6]
    opened.get_by_placeholder("search names").fill("")
    opened.wait_for_function("Bokeh.documents[0].get_model_by_name('said').text.startsWith('8 presets')")
    assert trouble == []


def test_dark_and_light(page):
    opened, trouble = page
    before = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    opened.get_by_role("button", name="dark / light").click()
    opened.wait_for_function("before => getComputedStyle(document.body).backgroundColor !== before", arg=before)
    assert before in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)") and opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 25, 28)"
    if folder := os.environ.get("SYNTHPROXY_SCREENSHOTS"):
        opened.screenshot(path=str(Path(folder) / "map.png"))
    assert trouble == []
