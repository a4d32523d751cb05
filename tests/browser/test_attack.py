"""The Attack page as a person meets it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from advcore import data
from advcore.attacks import FGSM, predict
from advcore.models import checkpoints
from tests.browser.conftest import choose, drawn, settled

DIGITS = "?dataset=digits"


def open_lab(page: Page, url: str, query: str = DIGITS) -> None:
    page.goto(f"{url}/{query}")
    expect(page.locator(".card")).to_have_count(2)
    settled(page)


def pixels(page: Page, card: int, figure: int) -> list[int]:
    """What a canvas shows, as RGBA values; figure 0 is clean, 1 the perturbation, 2 attacked."""
    return (
        page.locator(".card")
        .nth(card)
        .locator("figure canvas")
        .nth(figure)
        .evaluate("canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]")
    )


def scrub_to(page: Page, index: int) -> None:
    """Move the thumb without letting it go, as a drag does."""
    page.locator(".rail input").evaluate(
        "(input, index) => { input.value = index; input.dispatchEvent(new Event('input', { bubbles: true })); }", index
    )
    drawn(page)


def release(page: Page) -> None:
    page.locator(".rail input").dispatch_event("change")


# Moved while the server computes the noise: what it then sends knows the place before.
ASKED_AND_DRAGGED = """button => {
    button.click();
    const input = button.closest(".lab").querySelector(".rail input");
    input.value = 10;
    input.dispatchEvent(new Event("input", { bubbles: true }));
}"""


def count_sent(page: Page) -> list[str]:
    """Collects everything the page sends to the server from now on (opened before the page is)."""
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append("frame")))
    page.on("request", lambda request: sent.append(request.url))
    return sent


def test_a_fooled_model_is_seen_without_a_click_and_noise_after_one(page: Page, app_url: str) -> None:
    page.goto(app_url)
    expect(page.locator(".verdict.fooled")).to_have_count(1)
    expect(page.locator(".verdict").nth(0)).to_have_text("✗ FOOLED")
    expect(page.locator(".verdict").nth(1)).to_have_text("✓ HELD")
    expect(page.locator("output")).to_contain_text(re.compile(r"ε = 0\.\d{3} \([\d.]+/255\)"))
    expect(page.locator(".mark").first).to_be_visible()
    page.get_by_role("button", name="Same ε, random noise").evaluate(ASKED_AND_DRAGGED)
    expect(page.locator(".card").nth(0)).to_contain_text("with noise")
    expect(page.locator(".verdict").nth(0)).to_have_text("✓ HELD")
    expect(page.locator("output")).to_contain_text("0.050")
    expect(page).to_have_url(re.compile("noise=1"))


def test_scrubbing_changes_pictures_bars_and_verdict_without_the_server(page: Page, app_url: str) -> None:
    sent = count_sent(page)
    open_lab(page, app_url)
    scrub_to(page, 0)
    clean, still = pixels(page, 0, 0), pixels(page, 0, 2)
    assert still == clean
    expect(page.locator(".verdict").nth(0)).to_have_text("✓ HELD")
    bars = page.locator(".card").nth(0).locator(".bars").inner_text()
    page.wait_for_timeout(300)
    sent.clear()
    scrub_to(page, 100)
    assert pixels(page, 0, 2) != clean
    assert page.locator(".card").nth(0).locator(".bars").inner_text() != bars
    expect(page.locator(".verdict").nth(0)).to_have_text("✗ FOOLED")
    expect(page.locator("output")).to_contain_text("0.500 (127.5/255)")
    page.wait_for_timeout(300)
    assert sent == []
    for number in range(2):  # the thumb hides no mark
        at = float(page.locator(".mark").nth(number).evaluate("mark => mark.style.getPropertyValue('--at')"))
        scrub_to(page, round(at * 100))
        mark, thumb = page.locator(".mark").nth(number).bounding_box(), page.locator(".rail").bounding_box()
        middle = thumb["y"] + thumb["height"] / 2
        assert min(abs(mark["y"] - middle), abs(mark["y"] + mark["height"] - middle)) >= 12


def test_fool_it_walks_from_0_to_where_the_page_may_already_stand(page: Page, app_url: str) -> None:
    page.emulate_media(reduced_motion="no-preference")
    sent = count_sent(page)
    open_lab(page, app_url)
    rail, there = page.locator(".rail input"), int(page.locator(".rail input").input_value())
    page.get_by_role("button", name="Fool it").click()
    walks = "([input, there]) => 0 < input.value && input.value < there"
    page.wait_for_function(walks, arg=[rail.element_handle(), there])
    sent.clear()
    expect(rail).to_have_value(str(there))
    drawn(page)
    assert sent == []
    page.get_by_role("button", name="Fool it").click()
    page.wait_for_function(walks, arg=[rail.element_handle(), there])
    page.locator(".card").first.click()
    stopped = int(rail.input_value())
    assert stopped < there
    expect(page).to_have_url(re.compile(f"epsilon={stopped / 200:g}(&|$)"))
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Fool it").click()
    expect(rail).to_have_value(str(there))


def test_a_slow_attack_is_shown_before_it_is_known_along_the_whole_track(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/?dataset=cifar10&b=cifar10%2Feven_deeper_cnn-fgsm-0.03&attack=pgd&image=3&epsilon=0.03137255")
    notes, sweep = page.locator(".note"), page.get_by_role("button", name="Sweep ε")
    expect(notes).to_have_count(2)
    expect(notes.first).to_contain_text("says")
    expect(sweep).to_be_disabled()
    expect(page.locator(".spark figcaption").first).to_contain_text("values of ε")
    scrub_to(page, 16)
    expect(page.locator(".verdict").first).to_have_text("not computed yet")
    expect(page.locator(".files")).to_be_hidden()
    release(page)
    expect(notes.first).to_contain_text("says")
    expect(page).to_have_url(re.compile("epsilon=0.125"))
    noise = page.get_by_role("button", name="Same ε, random noise")
    noise.click()
    expect(page.locator(".card").first).to_contain_text("with noise")
    expect(page.get_by_test_id("stProgress")).to_have_count(0, timeout=60_000)
    expect(page.locator(".card").first).to_contain_text("with noise")
    expect(noise).to_be_focused()  # what a person touches is not made anew
    noise.click()
    expect(page.locator(".rail input")).to_have_value("16")
    expect(sweep).to_be_enabled()
    for place in (0, 7):
        scrub_to(page, place)
        expect(notes.first).to_contain_text("says")
    expect(page.locator(".unknown")).to_have_count(0)
    expect(page.locator(".files")).to_be_visible()
    expect(page.locator(".spark figcaption").first).not_to_contain_text("values of ε")


def test_a_link_brings_back_the_same_state(page: Page, app_url: str) -> None:
    open_lab(page, app_url)
    page.locator(".strip button").nth(3).click()
    expect(page.locator(".strip button").nth(3)).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("image=3"))
    expect(page.get_by_text("Test image 3 of")).to_be_visible()  # the server has drawn the choice
    settled(page)
    drawn(page)
    scrub_to(page, 37)
    release(page)
    expect(page).to_have_url(re.compile(r"epsilon=0\.185"))
    link, before = page.url, pixels(page, 0, 2)
    page.get_by_role("button", name="QR code").click()
    expect(page.get_by_alt_text("QR code of the address below")).to_be_visible()
    expect(page.locator(".qr a")).to_contain_text("epsilon=0.185")
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("output")).to_contain_text("0.185")
    drawn(page)
    assert pixels(page, 0, 2) == before
    page.reload()
    expect(page.locator("output")).to_contain_text("0.185")


def test_another_dataset_another_image_another_class(page: Page, app_url: str) -> None:
    open_lab(page, app_url)
    first = pixels(page, 0, 0)
    page.locator(".strip button").nth(5).click()
    expect(page).to_have_url(re.compile("image=5"))
    settled(page)
    drawn(page)
    assert pixels(page, 0, 0) != first
    page.get_by_role("button", name="Surprise me").click()
    settled(page)
    box = page.get_by_role("combobox", name=re.compile("Dataset"))
    choose(page, box, page.get_by_role("option", name=re.compile("MNIST")).first)
    expect(page.get_by_text(re.compile("Only 20 sample images"))).to_be_visible()


def test_other_pages_keep_the_dataset_and_the_models(page: Page, app_url: str) -> None:
    pair = "dataset=digits&a=digits%2Fdigits_cnn-fgsm-0.2&b=digits%2Fdigits_cnn-standard"
    open_lab(page, app_url, f"?{pair}&image=4")
    page.get_by_role("link", name="Your image").click()
    expect(page).to_have_url(re.compile(f"your_image.*{re.escape(pair)}"))
    page.get_by_role("link", name="Accuracy").click()
    expect(page).to_have_url(re.compile("accuracy.*dataset=digits"))
    page.get_by_role("link", name="Attack").click()
    expect(page).to_have_url(re.compile(f"/[?]{re.escape(pair)}.*image=4"))


def test_another_wrong_class_than_the_target_is_not_held(page: Page, app_url: str) -> None:
    open_lab(page, app_url, "?dataset=digits&a=digits%2Fdigits_cnn-standard&target=4&image=1&epsilon=0.2")
    card = page.locator(".card").nth(0)
    expect(card.locator(".verdict")).to_have_text("✗ FOOLED")
    expect(card.locator(".note")).to_have_text("A now says 8, not the wanted 4.")
    told = re.compile(r"first fooled at ε = 0\.1\d\d .* · first says 4 at ε = 0\.[23]\d\d")
    expect(card.locator("figcaption")).to_contain_text(told)
    page.get_by_text("Attacked images and Python").click()
    expect(page.get_by_text("It says “8”, not the wanted “4”.")).to_be_visible()
    scrub_to(page, 0)
    expect(card.locator(".verdict")).to_have_text("✓ HELD")


def test_a_target_that_is_the_images_own_class_is_none(page: Page, app_url: str) -> None:
    open_lab(page, app_url, "?dataset=digits&a=digits%2Fdigits_cnn-standard&target=3&image=1&epsilon=0.3")
    expect(page.get_by_text("This image is a “3” itself")).to_be_visible()
    expect(page.locator(".verdict").nth(0)).to_have_text("✗ FOOLED")
    scrub_to(page, 0)
    for number in range(2):
        expect(page.locator(".verdict").nth(number)).to_have_text("✓ HELD")
        expect(page.locator(".note").nth(number)).not_to_contain_text("even without an attack")


def test_a_strange_link_shows_the_default_and_says_so(page: Page, app_url: str) -> None:
    page.goto(f"{app_url}/?dataset=<img src=x onerror=alert(1)>&epsilon=99&image=99999999&a=../../etc/passwd")
    expect(page.locator(".card")).to_have_count(2)
    said = page.get_by_text("The link asks for what this page does not have")
    expect(said).to_have_count(1)
    for name in ("dataset", "epsilon “99”", "image “99999999”"):
        expect(said).to_contain_text(name)


def test_two_sessions_do_not_disturb_each_other(page: Page, app_url: str) -> None:
    open_lab(page, app_url)
    other = page.context.new_page()
    other.goto(f"{app_url}/{DIGITS}")
    expect(other.locator(".card")).to_have_count(2)
    settled(other)
    other.locator(".strip button").nth(6).click()
    settled(other)
    page.locator(".strip button").nth(2).click()
    settled(page)
    expect(other.locator(".strip button").nth(6)).to_have_attribute("aria-pressed", "true")
    other.close()


def test_back_and_forward_go_through_the_actions_one_by_one(page: Page, app_url: str) -> None:
    page.goto("about:blank")
    open_lab(page, app_url)
    expect(page).to_have_url(re.compile("epsilon="))  # the address is completed once the page is drawn
    first = shown(page)
    page.locator(".strip button").nth(5).click()
    expect(page).to_have_url(re.compile("image=5"))
    settled(page)
    scrub_to(page, 37)
    release(page)
    expect(page).to_have_url(re.compile("epsilon=0.185"))
    settled(page)
    last = shown(page)
    page.go_back()
    expect(page.locator("output")).not_to_contain_text("0.185")
    expect(page.locator(".strip button").nth(5)).to_have_attribute("aria-pressed", "true")
    settled(page)
    page.go_back()
    expect(page.locator(".strip button").nth(5)).to_have_attribute("aria-pressed", "false")
    settled(page)
    expect(page).to_have_url(first[0])
    assert shown(page) == first
    page.go_forward()
    expect(page.locator(".strip button").nth(5)).to_have_attribute("aria-pressed", "true")
    settled(page)
    page.go_forward()
    expect(page.locator("output")).to_contain_text("0.185")
    settled(page)
    expect(page).to_have_url(last[0])
    assert shown(page) == last
    for _ in range(3):
        page.go_back()
    expect(page).to_have_url("about:blank")


# In the instant at which the browser's address changes to another page, which is not drawn yet.
BACK_AT_ONCE = """() => {
    const push = history.pushState;
    history.pushState = function (...entry) {
        push.apply(this, entry);
        if (location.pathname === "/models") setTimeout(() => { history.back(); window.wentBack = true; });
    };
}"""


def test_back_from_a_page_that_is_not_drawn_yet_returns_to_the_page_before(page: Page, app_url: str) -> None:
    open_lab(page, app_url)
    expect(page).to_have_url(re.compile("epsilon="))
    address = page.url
    page.evaluate(BACK_AT_ONCE)
    page.get_by_role("link", name="Models").first.click()
    page.wait_for_function("() => window.wentBack && location.pathname === '/'")
    expect(page.get_by_role("slider", name=re.compile("ε"))).to_be_visible()
    settled(page)
    expect(page).to_have_url(address)


def shown(page: Page) -> tuple[str, str, list[int]]:
    """The address, ε and the attacked image."""
    return page.url, page.locator("output").inner_text(), pixels(page, 0, 2)


def test_the_keyboard_moves_epsilon_and_picks_an_image(page: Page, app_url: str) -> None:
    open_lab(page, app_url)
    slider = page.get_by_role("slider", name=re.compile("ε"))
    slider.focus()
    before = int(slider.input_value())
    slider.press("ArrowRight")
    assert int(slider.input_value()) == before + 1
    slider.press("Home")
    expect(page.locator("output")).to_contain_text("ε = 0.000 (0/255)")
    settled(page)
    # The gallery is one tab stop.
    buttons = page.locator(".strip button")
    assert buttons.count() > 20
    assert page.locator('.strip button[tabindex="0"]').count() == 1
    buttons.nth(0).focus()
    page.keyboard.press("ArrowRight")
    expect(buttons.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(buttons.last).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("image=1&"))


def test_picture_and_png_are_what_the_engine_makes(page: Page, app_url: str, tmp_path: Path) -> None:
    open_lab(page, app_url, "?dataset=digits&epsilon=0.3&a=digits%2Fdigits_cnn-standard&image=0")
    page.get_by_text("Attacked images and Python").click()
    expect(page.get_by_text("and still fools A")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("Attacked image for A")).click()
    file = tmp_path / "attacked.png"
    download.value.save_as(file)
    picture = np.asarray(Image.open(io.BytesIO(file.read_bytes())))
    test, model = data.load("digits")[0:1], checkpoints.find("digits/digits_cnn-standard").model()
    assert picture.shape == (8, 8)
    seen = torch.from_numpy(picture.astype(np.float32) / 255)[None, None]
    assert float((seen - test.pixels()).abs().max()) <= 0.3 + 1e-6
    assert predict(model, seen) != test.labels
    # What is drawn while ε is dragged: the image plus ε times the sign, clipped.
    scrub_to(page, 20)
    clean, shown = (np.array(pixels(page, 0, figure)).reshape(8, 8, 4)[..., 0] / 255 for figure in (0, 2))
    attacked = FGSM().perturb(model, test.pixels(), test.labels, 0.1)[0, 0].numpy()
    assert np.allclose(clean, test.pixels()[0, 0].numpy())
    assert np.abs(shown - attacked).max() <= 0.5 / 255 + 1e-6


def test_a_targeted_attack_and_pgd_on_its_own_grid(page: Page, app_url: str) -> None:
    open_lab(page, app_url, "?dataset=digits&attack=pgd&target=8&image=3&epsilon=0.11")
    expect(page.locator("output")).to_contain_text("0.100 (25.5/255)")
    expect(page.get_by_text("changed by at most ε = 0.100 (25.5/255)")).to_be_visible()
    expect(page.locator(".rail input")).to_have_attribute("max", "20")
    scrub_to(page, 20)
    expect(page.locator(".verdict").nth(0)).to_have_text("✗ FOOLED")
    expect(page.locator(".card").nth(0).locator(".says").last).to_contain_text("8")


def test_what_is_wrong_without_an_attack_is_never_fooled(page: Page, app_url: str) -> None:
    open_lab(page, app_url, "?dataset=digits&a=digits%2Fdigits_cnn-standard&image=58&epsilon=0.1")
    page.get_by_text("Attacked images and Python").click()
    for index in (20, 0):
        scrub_to(page, index)
        release(page)
        expect(page).to_have_url(re.compile(f"epsilon={index / 200:g}(&|$)"))
        settled(page)
        expect(page.locator(".verdict").nth(0)).to_have_text("✗ WRONG")
        expect(page.locator(".note").nth(0)).to_have_text(re.compile("^A says .: wrong even without an attack.$"))
        expect(page.get_by_text("A is wrong even without an attack")).to_be_visible()
        expect(page.get_by_text("fools A")).to_have_count(0)


def test_the_page_fits_its_window(page: Page, app_url: str) -> None:
    open_lab(page, app_url)
    main, card = page.get_by_test_id("stMain"), page.locator(".card")
    for width, height, least in ((1280, 720, 150), (1920, 1080, 310), (853, 480, 100)):  # projectors
        page.set_viewport_size({"width": width, "height": height})
        drawn(page)
        one, two = (card.nth(number).bounding_box() for number in range(2))
        assert one["y"] == two["y"]
        assert card.first.locator("canvas").first.bounding_box()["width"] >= least
        if height >= 720:
            bar = card.first.locator(".bar").last.bounding_box()
            assert bar["y"] + bar["height"] <= height
    for width in (390, 1360):
        page.set_viewport_size({"width": width, "height": 600})
        main.evaluate("node => node.scrollTo(0, 480)")
        drawn(page)
        header, epsilon = page.get_by_test_id("stHeader").bounding_box(), page.locator("output.eps").bounding_box()
        assert 0 <= epsilon["y"] - (header["y"] + header["height"]) < 16, "the track sticks below the header"
        assert main.evaluate("node => node.scrollWidth <= node.clientWidth"), "nothing sticks out sideways"
