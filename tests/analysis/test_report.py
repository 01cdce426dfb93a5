"""`python -m analysis.report`: one file, looked at in a browser where there is one."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis import report as report_command
from analysis.figures import report, samples
from analysis.figures.pictures import embedded
from analysis.study.table import StudyTable
from analysis.study.verdict import verdict
from spaces.errors import InputError
from tests.helpers.films import frames_in
from tests.helpers.refusals import tells
from tests.helpers.tables import GRACE, planted, study
from tests.helpers.toys import Told
from trainable.gan.config import TrialConfig
from trainable.gan.fields import meanings

FAULT = "copy rate in features 0.50, at most 0.25"


def picture(number: int, epoch: int) -> Image.Image:
    """A picture that tells trial and epoch apart."""
    pixels = np.zeros((66, 263), np.uint8)
    pixels[: 33 + number % 30, : epoch * 2] = 200
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(10, 40_000), (40_000, 10), (16_383, 1)])
def test_no_picture_is_too_large_for_the_page(size):
    """A film of a hundred classes is higher than a WebP can be."""
    address = embedded(Image.new("L", size))
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as shown:
        assert max(shown.size) == 16_383


def grids(table: StudyTable, number: int) -> dict[int, Image.Image]:
    epochs = table.curves.loc[table.curves["number"] == number, "epoch"].tolist()
    return {epoch: picture(number, epoch) for epoch in epochs}


@pytest.fixture(scope="module")
def table() -> StudyTable:
    """One for all: what matters in it takes seconds to find."""
    found = planted()
    best = found.trials[found.trials["status"] == "complete"]["number"].tolist()[0]
    second = found.trials[found.trials["status"] == "complete"]["number"].tolist()[1]
    winner = found.trials["number"] == best
    found.trials.loc[winner, ["winner", "rank", "copy_rate", "coverage"]] = 1.0, 1.0, 0.125, 0.5
    found.trials.loc[found.trials["number"] == second, "rank"] = 2.0
    found.trials["failed"] = [
        {best: "", second: FAULT}.get(number) for number in found.trials["number"]
    ]
    for name, value in {"fresh": 110.0, "fresh_low": 105.0, "fresh_high": 118.0}.items():
        found.trials[name] = np.where(winner, value, math.nan)
    runs = dict.fromkeys(found.trials["number"].tolist(), "run")
    counts = dict.fromkeys(["</script>", "$a$b", "<b>"], 30)
    return replace(found, name="a <study> & more", runs=runs, counts=counts)


def beaten(table: StudyTable) -> StudyTable:
    """The same study, had its winner failed a gate too."""
    trials = table.trials.copy()
    trials.loc[trials["winner"] == 1, "failed"] = "coverage 0.00, at least 0.005"
    trials["winner"] = math.nan
    return replace(table, trials=trials)


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


def frames(address: str) -> int:
    return len(frames_in(base64.b64decode(address.removeprefix("data:image/webp;base64,"))))


def test_the_page_has_everything_and_asks_for_nothing(table):
    told = Told()
    settings = {**table.settings, "data": "/home/miller/Meier_Hans/films"}
    page = report.page(replace(table, settings=settings), 10, told)
    assert tells(page, "films")
    assert "miller" not in page.lower()
    assert "a &lt;study&gt; &amp; more" in page
    assert "<study>" not in page
    assert page.count("<figure>") == 7
    assert page.count("</script>") == 2  # of ours; a class of that name is text
    assert "<bdi>&lt;/script&gt;</bdi>, <bdi>$a$b</bdi>, <bdi>&lt;b&gt;</bdi>" in page
    assert not re.findall(r"(?:src|href)=['\"](?!data:)", page)
    assert "http://www.w3.org/2000/svg" in page  # a name, and the only address
    assert len(set(re.findall(r"https?://[^\"'\s)]+", page))) == 1
    assert all(steps == [(i + 1, len(steps)) for i in range(len(steps))] for steps in told.values())
    _, figures = told.values()
    assert len(figures) == 7
    data = data_of(page)
    assert len(data["trials"]) == len(table.trials)
    assert data["trials"][0]["winner"] == 1
    assert data["trials"][0]["fresh"] == "105 to 118"
    assert data["trials"][0]["over"] == 110 / 20  # of fresh images, as on the terminal
    assert data["trials"][1]["over"] == round(data["trials"][1]["fid"] / 20, 4)
    assert not data["trials"][0]["tie"]
    assert [data["trials"][0][k] for k in ("gates", "copies", "coverage")] == ["passed", 0.125, 0.5]
    assert [t["gates"] for t in data["trials"][1:3]] == [f"fails: {FAULT}", ""]
    assert re.search("the winner learned", page)
    shown = r"<img class='(\w+)' alt='How the winner learned' src='([^']*)'"
    assert {name: frames(source) for name, source in re.findall(shown, page)} == {
        "moving": 3, "still": 1
    }  # fmt: skip
    assert "patients" not in page
    assert "diagnosis" not in page
    pictured = [t for t in data["trials"] if t["pictures"]]
    assert all(t["epoch"] > GRACE for t in pictured)  # those of the first rung alone have none
    assert [p["epoch"] for p in data["trials"][0]["pictures"]] == [10, 30, 90]


def test_only_of_patients_the_page_says_what_their_images_ask_for(table, monkeypatch):
    monkeypatch.setattr(report, "_parts", lambda *_: {})
    monkeypatch.setattr(report, "_decides", lambda _: "")
    page = report.page(replace(table, of_patients=True), 0)
    assert tells(page, "diagnosis", "patients")


def test_the_answer_is_four_sentences(table):
    won, best, cost, decides = report.answer(table)
    number = samples.shown_trial(table, None)
    assert tells(won, f"Trial {number}", "winner", 2, "1 passed")
    assert tells(best, f"Trial {number}", "winner", "FID", "110.0 (105.0 to 118.0)", "5.50", "20.0")
    assert tells(cost, "10 %")
    assert decides.startswith("rate, width")
    assert tells(decides, "FID", "epoch 10")


def test_the_verdict_names_winners_that_may_be_as_good(table):
    trials = table.trials.copy()
    number = trials["number"][trials["rank"] == 2].tolist()[0]
    trials.loc[trials["rank"] == 2, ["winner", "tie", "failed"]] = 2.0, True, ""
    said = verdict(replace(table, trials=trials))
    assert tells(said, "distinguished", f"trial {number}")
    assert "told from" not in verdict(table)


@pytest.mark.parametrize("megabytes", ["nan", "inf", "-1"])
def test_a_size_that_is_none_is_refused_before_any_work(megabytes, capsys):
    assert report_command.main(["--study", "s", "--megabytes", megabytes]) == 2
    assert tells(capsys.readouterr().err, "--megabytes", megabytes)


def test_images_are_as_many_as_the_limit_holds(table):
    order = report.ranked(table)["number"].tolist()
    every, none = report.gallery(table, order, 10**7, lambda *_: None)
    some, _ = report.gallery(table, order, 4000, lambda *_: None)
    assert none == []
    assert 0 < len(some) < len(every)
    assert list(some) == list(every)[: len(some)]


def test_what_cannot_be_drawn_is_said(monkeypatch):
    alone = study({0: ("complete", {"x": 1}, [(10, 50.0)])})
    monkeypatch.setattr(report, "fetch_grids", lambda *_: {})
    monkeypatch.setattr(samples, "fetch_grids", lambda *_: {})
    page = report.page(replace(alone, runs={0: "run"}), 10)
    assert re.search("hyperparameters matter[^<]*: [^<]*same configuration", page)
    assert re.search("<p>[^<]*hyperparameters decide[^<]*: [^<]*same configuration", page)
    assert page.count("<figure>") == 2
    broken = study({0: ("diverged", {"x": 1}, [(10, 50.0)])})
    (only,) = report.answer(broken)
    assert tells(only, "No trial", "score")
    assert data_of(report.page(broken, 10))["trials"][0]["broken"]


def test_without_a_winner_the_page_names_none(table, monkeypatch):
    """Neither the verdict, nor the leaderboard, nor a figure."""
    monkeypatch.setattr(report, "_decides", lambda _: "")
    lost = beaten(table)
    number = samples.shown_trial(table, None)
    assert samples.shown_trial(lost, None) == number
    won, best, *_ = report.answer(lost)
    assert tells(won, "no winner", "none", "2 trials", f"trial {number}")
    assert tells(won, "coverage 0.00, at least 0.005")
    assert tells(best, f"Trial {number}", "fresh", "not a winner", "FID")
    monkeypatch.setattr(report, "_drawn", lambda draw, said: said)
    page = report.page(lost, 0)
    assert re.search("best trial, which[^<]*winner", page)
    first, second, third = data_of(page)["trials"][:3]
    assert (first["number"], first["winner"]) == (number, None)
    assert first["gates"] == "fails: coverage 0.00, at least 0.005"
    assert second["gates"] == f"fails: {FAULT}"
    assert third["gates"] == ""
    stopped = replace(lost, trials=lost.trials.assign(failed=None, rank=math.nan))
    won, best, *_ = report.answer(stopped)
    assert tells(won, "no winner", "no trial")
    assert tells(best, "final FID", "not a winner")


def test_a_part_that_fails_is_a_sentence_and_the_rest_stands(table, monkeypatch):
    """Whatever it fails of."""

    def broken(*_):
        raise ValueError("<no> such thing")

    def lost(_, number):
        if number % 2:
            raise InputError(f"--study {table.name}: the files of trial {number} cannot be read")
        return grids(table, number)

    parts = report._parts(table)
    monkeypatch.setattr(report, "_parts", lambda *_: dict([*parts.items()][2:4]))
    monkeypatch.setattr(report.learning_curves, "draw", broken)
    monkeypatch.setattr(report.hyperparameters, "found", broken)
    monkeypatch.setattr(report, "fetch_grids", lost)
    page = report.page(table, 10)
    failed = r"[^<]*: [^<]*\(ValueError: &lt;no&gt; such thing\)"
    assert re.search(f"trials trained{failed}", page)
    assert re.search(f"hyperparameters decide{failed}", page)
    assert "the files of trial " in page
    pictured = {t["number"] for t in data_of(page)["trials"] if t["pictures"]}
    assert pictured
    assert all(number % 2 == 0 for number in pictured)


def test_the_command(table, tmp_path, monkeypatch, capsys):
    flags = ["--study", "x", "--tracking-uri", "http://x"]
    monkeypatch.setattr(report, "load_study", lambda *_: table)
    monkeypatch.setitem(table.counts, "not UTF-8: \udcff", 3)
    parts = report._parts  # the first two name the classes; all are drawn for the page above
    assert len(parts(table)) == 7
    monkeypatch.setattr(report, "_parts", lambda of: dict(list(parts(of).items())[:2]))
    kept = {}
    monkeypatch.setattr(report, "keep", lambda of, path: kept.setdefault(of.name, path) and "why")
    assert report_command.main([*flags, "--out", str(tmp_path)]) == 0
    assert kept == {table.name: tmp_path / "report.html"}
    assert r"not UTF-8: \udcff" in (tmp_path / "report.html").read_text(encoding="utf-8")
    said = capsys.readouterr().out
    assert "" not in said.splitlines()  # where a bar would have been
    assert said.splitlines()[-1].startswith(f"{tmp_path / 'report.html'}, ")
    assert "not in MLflow (why)" in said
    (tmp_path / "file").touch()
    assert report_command.main([*flags, "--out", str(tmp_path / "file")]) == 2
    assert tells(capsys.readouterr().err, "--out", tmp_path / "file")

    def absent(*_):
        raise InputError("--study x: there is none")

    monkeypatch.setattr(report, "load_study", absent)
    assert report_command.main(flags) == 2


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
    names = browser.find_elements("css selector", "#params dt")
    assert {term.text: bool(term.get_attribute("title")) for term in names} == {
        name: name in meanings(TrialConfig) for name in trials[0]["params"]
    }
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
    assert tells(caption(), f"trial {bare}", "no images")
    assert browser.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"
    ]
    assert {url.partition(":")[0] for url in urls} <= {"file", "data"}
