"""`python -m analysis.report`: one file, looked at in a browser where there is one."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis import report, samples
from analysis.store import StudyTable
from spaces.errors import InputError
from tests.conftest import Told
from tests.test_importance import GRACE, planted, study

WINNER = 5


def picture(number: int, epoch: int) -> Image.Image:
    """A picture that tells trial and epoch apart."""
    pixels = np.zeros((66, 263), np.uint8)
    pixels[: 33 + number % 30, : epoch * 2] = 200
    return Image.fromarray(pixels)


def grids(table: StudyTable, number: int) -> dict[int, Image.Image]:
    epochs = table.curves.loc[table.curves["number"] == number, "epoch"].tolist()
    return {epoch: picture(number, epoch) for epoch in epochs}


@pytest.fixture(scope="module")
def table() -> StudyTable:
    """One for all: what matters in it takes seconds to find."""
    found = planted()
    best = found.trials[found.trials["status"] == "complete"]["number"].tolist()[0]
    found.trials.loc[found.trials["number"] == best, "winner"] = 1.0
    for name, value in {"fresh": 110.0, "fresh_low": 105.0, "fresh_high": 118.0}.items():
        found.trials[name] = np.where(found.trials["number"] == best, value, math.nan)
    runs = dict.fromkeys(found.trials["number"].tolist(), "run")
    return replace(found, name="a <study> & more", runs=runs)


@pytest.fixture(autouse=True)
def _store(monkeypatch):
    """What MLflow would hold."""
    monkeypatch.setattr(report, "fetch_grids", grids)
    monkeypatch.setattr(samples, "fetch_grids", grids)
    monkeypatch.setattr(samples, "fetch_generator", lambda *_: None)


def data_of(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_has_everything_and_asks_for_nothing(table):
    told = Told()
    page = report.page(table, 10, told)
    assert "Study a &lt;study&gt; &amp; more" in page
    assert "<study>" not in page
    assert page.count("<figure>") == 6
    assert not re.findall(r"(?:src|href)=['\"](?!data:)", page)
    assert "http://www.w3.org/2000/svg" in page  # a name, and the only address
    assert len(set(re.findall(r"https?://[^\"'\s)]+", page))) == 1
    assert list(told) == ["fetching pictures", "drawing figures"]
    assert all(steps == [(i + 1, len(steps)) for i in range(len(steps))] for steps in told.values())
    assert len(told["drawing figures"]) == 6
    data = data_of(page)
    assert len(data["trials"]) == len(table.trials)
    assert data["trials"][0]["winner"] == 1
    assert data["trials"][0]["fresh"] == "105 to 118"
    pictured = [t for t in data["trials"] if t["pictures"]]
    assert all(t["epoch"] > GRACE for t in pictured)  # those of the first rung alone have none
    assert [p["epoch"] for p in data["trials"][0]["pictures"]] == [10, 30, 90]


def test_the_answer_is_three_sentences(table):
    best, cost, decides = report.answer(table)
    number = samples.shown_trial(table, None)
    assert best.startswith(f"Trial {number} did best: FID ")
    assert "times the floor of 20.0, and 110.0 (105.0 to 118.0) on fresh images, after 90 s" in best
    assert cost.startswith(("Within 10 % of its FID, trial ", "No trial within 10 % "))
    assert decides.startswith("rate, width")
    assert decides.endswith(" mattered most for FID at epoch 10, of all that was searched.")


def test_images_are_as_many_as_the_limit_holds(table):
    order = report.ranked(table)["number"].tolist()
    every = report.gallery(table, order, 10**7, lambda *_: None)
    some = report.gallery(table, order, 4000, lambda *_: None)
    assert 0 < len(some) < len(every)
    assert list(some) == list(every)[: len(some)]


def test_what_cannot_be_drawn_is_said(monkeypatch):
    alone = study({0: ("complete", {"x": 1}, [(10, 50.0)])})
    monkeypatch.setattr(report, "fetch_grids", lambda *_: {})
    monkeypatch.setattr(samples, "fetch_grids", lambda *_: {})
    page = report.page(replace(alone, runs={0: "run"}), 10)
    assert "with 1 trials nothing can be said of its hyperparameters" in page
    assert page.count("<figure>") == 2
    broken = study({0: ("diverged", {"x": 1}, [(10, 50.0)])})
    assert report.answer(broken) == ["No trial of this study has a score without breaking down."]
    assert data_of(report.page(broken, 10))["trials"][0]["broken"]


def test_the_command(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "load_study", lambda *_: table)
    assert report.main(["--study", "x", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "" not in said.splitlines()  # where a bar would have been
    assert said.splitlines()[-1].startswith(f"{tmp_path / 'report.html'}, ")
    (tmp_path / "file").touch()
    assert report.main(["--study", "x", "--out", str(tmp_path / "file")]) == 2
    assert "cannot be written to" in capsys.readouterr().err

    def absent(*_):
        raise InputError("--study x: there is none")

    monkeypatch.setattr(report, "load_study", absent)
    assert report.main(["--study", "x"]) == 2


@pytest.fixture
def browser():
    """Chromium, without a window."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromedriver: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    found = webdriver.Chrome(options=options, service=service)
    yield found
    found.quit()


def test_in_a_browser(table, tmp_path: Path, browser):
    """A click on a point shows its trial, the slider steps through it; no error, no request."""
    path = tmp_path / "report.html"
    page = report.page(table, 10)
    path.write_text(page)
    trials = data_of(page)["trials"]
    browser.get(path.as_uri())

    def caption() -> str:
        return browser.find_element("id", "caption").text

    def source() -> str:
        return browser.find_element("id", "picture").get_attribute("src")

    assert caption().startswith(f"trial {trials[0]['number']}, epoch 90, FID ")
    other = next(t for t in trials[1:] if len(t["pictures"]) == 2)
    point = browser.find_element("css selector", f".point[data-trial='{other['number']}']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    browser.execute_script("arguments[0].dispatchEvent(new Event('click'))", point)
    assert caption().startswith(f"trial {other['number']}, epoch 30, FID ")
    assert source() == other["pictures"][1]["image"]
    slider = browser.find_element("id", "slider")
    slider.send_keys("\ue012")  # arrow left
    assert caption().startswith(f"trial {other['number']}, epoch 10, FID ")
    assert source() == other["pictures"][0]["image"]
    assert "chosen" in (point.get_attribute("class") or "")
    rows = browser.find_elements("css selector", "#board tbody tr")
    assert len(rows) == min(report.ROWS, len(trials))
    rows[0].click()
    assert caption().startswith(f"trial {trials[0]['number']}, ")
    bare = next(t["number"] for t in trials if not t["pictures"])
    select = browser.find_element("css selector", f"#trial option[value='{bare}']")
    select.click()
    assert caption() == f"trial {bare}: no images are kept in this report"
    assert browser.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"
    ]
    assert {url.partition(":")[0] for url in urls} <= {"file", "data"}
