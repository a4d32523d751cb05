"""The Models page in a real browser: a model is downloaded, imported, renamed, found on other pages, and deleted."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from playwright.sync_api import Page, expect
from safetensors.torch import load_file, save_file

from tests.browser.conftest import choose, settled

SHIPPED = "digits/digits_cnn-standard"


def downloaded(page: Page, app_url: str, folder: Path) -> Path:
    """The shipped digits model, through the page's own button."""
    page.goto(f"{app_url}/models?model={SHIPPED}")
    settled(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download", exact=True).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def give(page: Page, path: Path) -> None:
    """Open the import form and put a file into it."""
    page.get_by_text("Import a model").click()
    put(page, path)


def put(page: Page, path: Path) -> None:
    """Put a file into the open import form, in the place of another one."""
    page.locator("input[type=file]").set_input_files(str(path))
    settled(page)


def test_a_model_comes_back_renamed_and_goes(page: Page, app_url: str, tmp_path: Path) -> None:
    path = downloaded(page, app_url, tmp_path)
    assert path.name == "digits-digits_cnn-standard.safetensors"
    give(page, path)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("The model is imported")).to_be_visible()
    expect(page).to_have_url(re.compile("model=digits%2Fdigits_cnn-standard-\\d"))
    expect(page.get_by_role("option", selected=True)).to_have_accessible_name(re.compile(r"standard \(\d\).*your own"))
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New name").fill("a-friends")
    page.get_by_role("button", name="Rename it").click()
    expect(page.get_by_text("Renamed to a-friends.")).to_be_visible()
    expect(page).to_have_url(re.compile("model=digits%2Fa-friends"))
    expect(page.get_by_role("heading", name="a-friends")).to_be_visible()
    other = page.context.new_page()
    other.goto(f"{app_url}/?dataset=digits&b=digits%2Fa-friends")
    expect(other.locator(".card").nth(1)).to_contain_text("a-friends")
    other.close()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("digits/a-friends is deleted.")).to_be_visible()


def test_a_strange_file_is_refused_and_plain_weights_are_imported(page: Page, app_url: str, tmp_path: Path) -> None:
    tensors = load_file(downloaded(page, app_url, tmp_path))
    strange = tmp_path / "strange.safetensors"
    torch.save({"weights": torch.zeros(3)}, strange)
    give(page, strange)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("strange.safetensors is not a readable safetensors file")).to_be_visible()
    settled(page)
    expect(page.get_by_role("button", name="Import", exact=True)).to_be_enabled()  # the file is still there
    plain = tmp_path / "theirs.safetensors"
    save_file({f"net.{name}": value.float() for name, value in tensors.items() if not name.startswith("0.")}, plain)
    put(page, plain)
    page.get_by_text("plain weights (a state dict)").click()
    settled(page)
    choose(page, page.get_by_role("combobox", name="Trained on"), page.get_by_role("option", name="Digits 8×8"))
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("The model is imported")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("is deleted.")).to_be_visible()


def test_a_line_opens_its_model_and_is_marked_by_a_link(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/models?model=mnist/lee_cnn-fgsm-0.3")
    marked = page.get_by_role("option", selected=True)
    expect(marked).to_have_accessible_name(re.compile("Lee's CNN, FGSM-trained, ε 0.3: clean 98.9 %.*masked"))
    marked.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Lee's CNN, FGSM-trained, ε 0.0924")).to_be_visible()
    expect(page).to_have_url(re.compile("model=mnist%2Flee_cnn-fgsm-0.0924"))
    page.get_by_role("radio", name="Digits 8×8").click()
    expect(page.get_by_role("heading", name="Digits CNN, standard")).to_be_visible()
