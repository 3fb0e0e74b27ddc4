"""Debian's Chromium, driven by Playwright: a tab, what its page complained of and asked for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from explorer.tests.html import Page, parsed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the end of the block."""
    with (
        sync_playwright() as playwright,
        # Root has no sandbox.
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser,
    ):
        yield browser


class Tab:
    """A tab of a browser."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        """Lines of the console, and exceptions of scripts, since the last page was opened."""
        self.asked: list[str] = []
        """The addresses that were asked for since then."""
        self.page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, url: str) -> Page:
        """The page at an address, when its script has run."""
        self.complaints.clear()
        self.asked.clear()
        self.page.goto(url)
        return self.read()

    def read(self) -> Page:
        """The page as it is now."""
        return parsed(self.page.content())
