"""The reference at `/docs` in a real browser that can reach nothing but the service."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.serving.conftest import QUESTION, Models
from tests.serving.test_process import serve

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"),
]


@pytest.fixture
def browser() -> Iterator[Browser]:
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


def test_the_reference_works_offline_and_tries_a_prediction(models: Models, browser: Browser) -> None:
    version, answer = models.publish()
    models.promote(version)
    with serve(models) as url:
        page = browser.new_page()
        requested: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{url}/docs")
        page.get_by_text("/predict", exact=True).click()
        page.get_by_role("button", name="Try it out").click()
        for name, value in QUESTION.items():
            page.get_by_placeholder(name).fill(str(value))
        page.get_by_role("button", name="Execute").click()
        body = page.locator(".live-responses-table .response-col_description .microlight").first
        assert body.inner_text().strip() == str(answer)
        assert {address for address in requested if not address.startswith((url, "data:"))} == set()
        assert errors == []
