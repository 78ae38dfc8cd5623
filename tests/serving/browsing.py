"""The page in Debian's Chromium, which can reach nothing but the service, for the tests and for the documentation."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 780}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that asks nobody for updates."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Visit:
    """A tab with what it asked for and what it complained of."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.page: Page = browser.new_page(**{"viewport": DESKTOP, **options})
        self.page.set_default_timeout(10_000)
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._note(message.type, message.text))

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def open(self, address: str = "/") -> Page:
        self.page.goto(self.url + address)
        return self.page

    def elsewhere(self) -> set[str]:
        """The requests to other hosts; data and blobs are the page's own."""
        return {address for address in self.requested if not address.startswith((self.url, "data:", "blob:"))}

    def wait_for_charts(self, *names: str) -> None:
        """Until plotly has drawn the charts of these ids."""
        for name in names or ("volume-chart", "price-chart", "try-chart"):
            self.page.wait_for_selector(f"#{name}[data-drawn]")
