"""The site opened from disk, as `make docs` leaves it: its search finds pages, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_the_search_finds_a_page_from_disk(site: Path, browser: Any) -> None:
    asked: list[str] = []
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.on("request", lambda request: asked.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").press_sequentially("coordinates", delay=20)
    page.wait_for_selector(".md-search-result__link[href*='explanation.html']")
    page.close()
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
