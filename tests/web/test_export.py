"""The tab that exports, in headless Chromium, with the real command."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tab(opened, runs_root: Path) -> Any:
    shutil.rmtree(runs_root / "exported", ignore_errors=True)
    opened.page.get_by_role("tab", name="Export").click()
    opened.page.wait_for_selector("#export-source input")
    return opened


def choose(page: Any, name: str, option: str) -> None:
    page.click(f"#{name} input")
    page.get_by_role("option", name=option, exact=True).click()
    if name == "export-source":
        page.wait_for_function(
            "() => document.querySelector('#export-out textarea, #export-out input').value"
        )


def wait_for(page: Any, told: str) -> None:
    page.wait_for_function(
        "told => document.querySelector('#export-standing').innerText.includes(told)",
        arg=told,
        timeout=120_000,
    )


def test_a_model_is_exported_and_shown(tab, runs_root) -> None:
    page = tab.page
    choose(page, "export-source", "model")
    assert page.input_value("#export-out textarea, #export-out input") == "exported/model"
    page.fill("#export-size textarea, #export-size input", "300KB")
    choose(page, "export-dtype", "bfloat16")
    page.click("#export-start")
    wait_for(page, "Done.")
    page.wait_for_selector("#export-files [data-testid='cell-0-0']")
    out = runs_root / "exported/model"
    shown = page.inner_text("#export-files")
    files = sorted(path.name for path in out.iterdir())
    assert "model.safetensors.index.json" in files
    assert all(name in shown for name in files)
    lines = page.inner_text("#export-lines")
    assert f"vllm serve {runs_root.name}/exported/model" in lines
    assert "sglang.launch_server" in lines
    assert "fastdeploy" in lines
    card = page.inner_text("#export-card")
    assert "How it is asked" in card
    assert "pipeline_tag" not in card
    tab.look("export")
    page.click("#export-start")  # it is there now
    assert "it holds something" in tab.notice()
    assert str(runs_root) not in page.content()


def test_an_error_of_the_command_is_told(tab, runs_root) -> None:
    broken = runs_root / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    (broken / "model.safetensors").write_bytes(b"no")
    try:
        page = tab.page
        page.get_by_role("tab", name="Data").click()
        page.get_by_role("tab", name="Export").click()  # chosen, it looks again
        choose(page, "export-source", "broken")
        page.click("#export-start")
        wait_for(page, "It ended with an error:")
        told = page.inner_text("#export-standing")
        assert "broken" in told
        assert str(runs_root) not in told
        assert not (runs_root / "exported").exists() or not list((runs_root / "exported").iterdir())
    finally:
        shutil.rmtree(broken)


@pytest.mark.parametrize("name", ["../out", "model/inside", "/etc/x"])
def test_a_folder_elsewhere_is_refused(tab, runs_root, name) -> None:
    page = tab.page
    choose(page, "export-source", "model")
    page.fill("#export-out textarea, #export-out input", name)
    page.click("#export-start")
    assert "name" in tab.notice()
    assert not (runs_root.parent / "out").exists()
    assert not (runs_root / "model/inside").exists()
