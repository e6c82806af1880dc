"""The pages in Chromium, started as a user starts them."""

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from server3.ui.conftest import TOKEN, Apis
from server3.ui.support import patients, processes
from server3.ui.support.processes import Served

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}

# Chromium shares two cores with the servers that it looks at.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing")
        pytest.skip(f"{CHROMIUM} is missing")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Call it with an address for a page that may not talk to anybody else, nor err."""
    contexts = []
    strays: list[str] = []

    def open_page(
        url: str, *, locale: str = "en-US", viewport: dict = DESKTOP, scheme: str = "light"
    ) -> Page:
        context = browser.new_context(
            locale=locale, viewport=viewport, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: strays.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((url, "data:", "blob:")) else strays.append(request.url)
            ),
        )
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert strays == []


def length_of_stay(page: Page) -> Locator:
    return page.get_by_role("spinbutton", name="Length of stay (days) *", exact=True)


def example(api: Served, number: int) -> dict:
    return httpx.get(f"{api.url}/model/schema").json()["examples"][number]["patient"]


def risk_of(api: Served, number: int) -> float:
    return httpx.post(f"{api.url}/predict", json=example(api, number)).json()["probability"]


def test_a_prediction_in_both_languages(visit, pages: Served, api: Served):
    page = visit(pages.url)
    page.get_by_role("button", name="High risk").click()
    days = example(api, 2)["time_in_hospital"]
    expect(length_of_stay(page)).to_have_value(str(days))
    page.get_by_role("button", name="Predict the risk").click()
    risk = 100 * risk_of(api, 2)
    expect(page.get_by_role("heading", name=f"{risk:.1f}%")).to_be_visible()
    expect(page.get_by_text("What moved it most")).to_be_visible()
    expect(page.locator(".st-key-moved canvas")).to_be_visible()

    page.get_by_text("Español", exact=True).click()
    expect(page.get_by_role("button", name="Calcular el riesgo")).to_be_visible()
    expect(page.get_by_role("heading", name=f"{risk:.1f}".replace(".", ","))).to_be_visible()
    decade = example(api, 2)["age"][1:3]
    age = page.get_by_role("combobox", name="Edad *")
    expect(age).to_have_value(f"{decade} a {decade[0]}9 años")
    page.get_by_role("button", name="Riesgo bajo").click()
    page.get_by_role("button", name="Calcular el riesgo").click()
    risk = 100 * risk_of(api, 0)
    expect(page.get_by_role("heading", name=f"{risk:.1f}".replace(".", ","))).to_be_visible()
    assert page.url.endswith("?lang=es")


def test_two_quick_clicks_never_mix_two_patients(visit, pages: Served, api: Served):
    page = visit(pages.url)
    page.get_by_role("button", name="High risk").click()
    stays = page.get_by_role("spinbutton", name="Inpatient stays *", exact=True)
    expect(stays).to_have_value(str(example(api, 2)["number_inpatient"]))
    # The second click falls between the first and the last field of the other patient.
    page.evaluate(
        """async () => {
          const held = () => [...document.querySelectorAll(".stMain input")].map(input => input.value).join();
          const before = held();
          document.querySelector(".st-key-example-0 button").click();
          while (held() === before) await new Promise(requestAnimationFrame);
          document.querySelector(".st-key-predict button").click();
        }"""
    )
    expect(page.get_by_role("heading", name=f"{100 * risk_of(api, 0):.1f}%")).to_be_visible()
    expect(length_of_stay(page)).to_have_value(str(example(api, 0)["time_in_hospital"]))
    expect(page.get_by_text("The form has changed since this answer.")).to_be_hidden()


def test_a_spanish_browser_is_greeted_in_spanish(visit, pages: Served):
    page = visit(pages.url, locale="es-ES")
    expect(page.get_by_role("heading", name="Riesgo de reingreso")).to_be_visible()


def test_a_batch_of_500_rows_of_which_7_are_bad(visit, pages: Served, api: Served, tmp_path: Path):
    schema = httpx.get(f"{api.url}/model/schema").json()
    file = tmp_path / "ward.csv"
    file.write_bytes(patients.with_bad_rows(schema, 500))
    page = visit(pages.url)
    page.get_by_role("tab", name="Many patients").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Template").click()
    with download.value.path().open(newline="") as template:
        assert next(csv.reader(template)) == [field["name"] for field in schema["fields"]]

    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Predict the risk of 500 patients").click()

    expect(page.get_by_text("7 rows were refused")).to_be_visible()
    expect(page.get_by_role("heading", name="Risks in ward.csv")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the risks").click()
    with download.value.path().open(newline="") as result:
        rows = list(csv.DictReader(result))
    assert download.value.suggested_filename == "risks-ward.csv"
    assert [row["bed"] for row in rows[:3]] == ["B1", "B2", "B3"]
    bad = sorted([*patients.SPOILED, patients.SHORT_ROW])
    assert [number for number, row in enumerate(rows, 1) if row["error"]] == bad
    assert all(bool(row["probability"]) != bool(row["error"]) for row in rows)
    with page.expect_download() as download:
        page.get_by_role("button", name="Refused rows").click()
    with download.value.path().open(newline="") as refused:
        assert [row["bed"] for row in csv.DictReader(refused)] == [f"B{number}" for number in bad]


def test_the_api_goes_away_and_comes_back(visit, pages: Served, api: Served):
    page = visit(pages.url)
    page.get_by_role("button", name="Middle risk").click()
    days = length_of_stay(page)
    expect(days).to_have_value(str(example(api, 1)["time_in_hospital"]))
    days.fill("11")
    days.press("Enter")
    api.stop()
    try:
        expect(page.get_by_role("heading", name="The prediction service cannot be reached")).to_be_visible()
        expect(page.get_by_text("API away").first).to_be_visible()
    finally:
        api.start()
        api.wait()
    expect(page.get_by_text("API ready · version 1").first).to_be_visible()
    expect(length_of_stay(page)).to_have_value("11")
    page.get_by_role("button", name="Predict the risk").click()
    expect(page.get_by_text("What moved it most")).to_be_visible()


def test_the_synthetic_banner_and_the_reload_button(
    visit, apis: Apis, point_rehearsal: Callable[[str], None], tmp_path: Path
):
    server = processes.pages(tmp_path, apis.rehearsal.url)
    server.start()
    try:
        server.wait()
        page = visit(server.url)
        expect(page.get_by_text("SYNTHETIC DATA: NOT A REAL RISK")).to_be_visible()
        point_rehearsal("3")
        page.get_by_role("button", name="Model · version 2").click()
        page.get_by_label("Token for reloading", exact=True).fill(TOKEN)
        page.get_by_label("Token for reloading", exact=True).press("Enter")
        page.get_by_role("button", name="Look for a new version now").click()
        expect(page.get_by_role("button", name="Model · version 3")).to_be_visible()
        expect(page.get_by_text("Version 3 is loaded.")).to_be_visible()
        expect(page.get_by_text("Stays before this one")).to_be_visible()
        expect(page.get_by_text("SYNTHETIC DATA: NOT A REAL RISK")).to_be_hidden()
    finally:
        server.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(visit, pages: Served, scheme: str):
    page = visit(pages.url, viewport=PHONE, scheme=scheme)
    page.get_by_role("button", name="High risk").click()
    page.get_by_role("button", name="Predict the risk").click()
    expect(page.get_by_text("What moved it most")).to_be_visible()
    for tab, sign in (
        ("One patient", "What moved it most"),
        ("Many patients", "Upload a CSV"),
        ("Monitor", "Patients scored a minute"),
    ):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_text(sign)).to_be_visible()
        assert page.evaluate("document.querySelector('.stMain').scrollWidth") <= PHONE["width"]
