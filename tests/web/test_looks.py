"""Every tab, narrow and wide, light and dark, in both languages: nothing sticks out, nothing complains."""

from __future__ import annotations

from typing import Any

import pytest

from paddle_ground.web.words import _TEXTS, text

TABS = ("ground", "chat", "data", "train", "evaluate", "export")
# What a visitor could be led out by, or would be shown of Gradio's own.
FOREIGN = ("Use via API", "Built with Gradio", "Settings", "Share", "使用 Gradio", "通过 API", "设置", "分享")

# What can be pressed or read beyond the window's edge; what scrolls by itself may be wider.
STICKS_OUT = """() => [...document.querySelectorAll('label, button, input, textarea, h2, span, p')].filter(
  (one) => one.checkVisibility({opacityProperty: true}) && one.getBoundingClientRect().right > innerWidth + 1
    && !one.closest('[class*=table], [style*=hidden], .visually-hidden, [role=tablist], pre, code')
).map((one) => one.outerHTML.slice(0, 200))"""


def visit(opened: Any, key: str, language: Any = "en") -> None:
    """Open a tab, wherever the bar has put it: a narrow one hides some behind a button."""
    name = text(key, language)
    page = opened.page
    # The bar has another, invisible copy of its tabs to measure them.
    tab = page.locator("[role=tab]:visible", has_text=name).first
    if tab.count() and tab.is_visible():
        tab.click()
    else:
        page.locator(".overflow-menu > button").first.click()
        page.locator(".overflow-dropdown button", has_text=name).first.click()
    page.wait_for_timeout(700)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_every_tab_fits_the_window(opened_in, scheme, width) -> None:
    opened = opened_in(width=width, scheme=scheme)
    for key in TABS:
        visit(opened, key)
        opened.look(f"look_{key}_{scheme}_{width}")
        assert opened.page.evaluate(STICKS_OUT) == [], key
        seen = opened.page.inner_text("body").splitlines()
        assert not [line for line in seen if line.strip() in FOREIGN], key
    assert opened.complaints == []


def test_every_tab_speaks_chinese(opened_in) -> None:
    opened = opened_in("zh-CN", 1400)
    opened.page.get_by_role("tab", name=text("ground", "zh")).first.wait_for()
    english = {one for one, chinese in _TEXTS.values() if one != chinese}
    for key in TABS:
        visit(opened, key, "zh")
        opened.look(f"look_{key}_zh")
        seen = {line.strip() for line in opened.page.inner_text("body").splitlines()}
        assert not (seen & english) - {"English"}, key
    assert opened.complaints == []


@pytest.mark.parametrize("view", ["api", "settings", "recorder"])
def test_gradios_own_pages_are_not_to_be_had(opened_in, view) -> None:
    opened = opened_in(path=f"/?view={view}")
    opened.page.wait_for_timeout(1500)
    opened.look(f"view_{view}")
    assert opened.page.locator(".api-docs:visible").count() == 0
