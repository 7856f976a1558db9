"""The site opened from disk, as `make docs` leaves it: its search finds pages, without a network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# No sandbox for root; no calls home, which a closed network answers slowly.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def test_the_search_finds_a_page_from_disk(site: Path) -> None:
    named = os.environ.get("PADDLE_GROUND_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium here: install Debian's `chromium`, or name one by PADDLE_GROUND_CHROMIUM")
    asked: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=120_000)
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.locator(".md-search__input").click()
        page.locator(".md-search__input").press_sequentially("coordinates", delay=20)
        page.wait_for_selector(".md-search-result__link[href*='explanation.html']")
        browser.close()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
