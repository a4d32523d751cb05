"""FGSM on whole photos: the short way gives what the long way gives, in whole levels, at the photo's own size."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from advcore.attacks import FGSM, PGD, UniformNoise
from advcore.errors import AttackError
from advcore.images.decode import Photo, decode
from advcore.models import architectures
from advcore.photos.framing import Framing, View, crop_box, frame, pixels_of, saved_png
from advcore.photos.fullsize import (
    answer_to_file,
    attack_whole,
    attacked_pixels,
    full_noise,
    full_size,
    level_grid,
    noisy_pixels,
    whole_levels,
)
from tests.hands import Hand, picture_of, png_of

COLOUR, GREY = (3, 32, 32), (1, 28, 28)


def noisy_photo(width: int, height: int, channels: int = 3, seed: int = 0) -> Photo:
    """A photo with much black and white, where attacks hit the ends of the range."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(channels, height, width, generator=generator) * 120 + 128
    return Photo("p", "PNG", values.clamp(0, 255).to(torch.uint8))


def small_model(shape: tuple[int, int, int], seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return architectures.build("general_cnn", shape, 5).requires_grad_(False)


def finished(steps):
    """The last thing a full-size attack yields, and the shares before."""
    *before, (share, result) = steps
    assert all(part is None for _, part in before)
    assert share == 1
    return result, [share for share, _ in before]


@pytest.mark.parametrize("target", [None, 3])
@pytest.mark.parametrize("case", ["small", "large", "grey model", "grey picture", "crop", "beyond"])
def test_the_short_way_is_the_long_way(case, target):
    photo, shape = noisy_photo(61, 47), COLOUR
    framing = None
    if case == "large":
        photo = noisy_photo(403, 331)
    elif case == "grey model":
        photo, shape = noisy_photo(203, 131), GREY
    elif case == "grey picture":
        photo = noisy_photo(203, 131, 1)
    elif case == "crop":
        framing = Framing(photo.size, crop_box(photo.size, shape, 1.4, 0.2, 0.9))
    elif case == "beyond":
        photo, shape = noisy_photo(203, 131), GREY
        framing = Framing(photo.size, (-40, -30, 190, 190), True)
    framing = framing or frame(photo, shape)
    model, view, levels = small_model(shape), View(framing, shape), (0, 1, 4, 16)
    result, shares = finished(full_size(model, photo, view, levels, target=target))
    assert shares == sorted(shares)
    whole = torch.nn.Sequential(view, model).eval()
    pixels = pixels_of(photo)
    aim = torch.tensor([result.label if target is None else target])
    attack = FGSM(targeted=target is not None)
    assert int(whole(pixels).argmax()) == result.label
    for index, level in enumerate(levels):
        ours = attacked_pixels(photo, view, result.direction, level)
        theirs = attack.perturb(whole, pixels, aim, level / 255)
        assert (ours.int() - (theirs[0] * 255).round().int()).abs().max() == 0
        seen = view(ours[None].float() / 255)
        assert torch.allclose(seen[0], result.seen[index], atol=1e-5)
        assert torch.allclose(model(seen).softmax(1)[0], result.shares[index], atol=1e-5)
        assert (ours.int() - photo.pixels.int()).abs().max() <= level


def test_the_direction_is_a_sign_for_every_block():
    photo = noisy_photo(403, 331)
    view = View(frame(photo, COLOUR), COLOUR)
    result, _ = finished(full_size(small_model(COLOUR), photo, view, [0]))
    assert view.factor == 5
    assert result.direction.shape == (3, 66, 66)
    assert set(result.direction.unique().tolist()) <= {-1, 0, 1}
    assert result.direction.abs().float().mean() > 0.9


def test_levels_stay_within_epsilon():
    assert [whole_levels(epsilon) for epsilon in (0, 0.1, 8 / 255, 0.5, 1, 0.0039)] == [0, 25, 8, 127, 255, 0]
    assert level_grid(0.125) == tuple(range(32))
    assert level_grid(0.5) == tuple(range(0, 128, 4))
    assert level_grid(1.0)[-1] <= 255
    assert level_grid(0) == (0,)
    with pytest.raises(AttackError):
        whole_levels(1.5)


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=3), UniformNoise()])
def test_any_attack_on_the_whole_keeps_size_and_epsilon(attack):
    photo, model = noisy_photo(90, 70), small_model(COLOUR)
    view = View(frame(photo, COLOUR), COLOUR)
    attacked = attack_whole(model, photo, view, attack, 0.05)
    assert attacked.dtype == torch.uint8
    assert attacked.shape == photo.pixels.shape
    assert 0 < (attacked.int() - photo.pixels.int()).abs().max() <= 12


def test_a_targeted_attack_needs_its_target():
    photo = noisy_photo(40, 40)
    view = View(frame(photo, COLOUR), COLOUR)
    for attack, target in ((FGSM(), 1), (FGSM(targeted=True), None)):
        with pytest.raises(AttackError):
            attack_whole(small_model(COLOUR), photo, view, attack, 0.1, target=target)


def test_the_model_and_the_picture_are_left_as_they_were():
    photo, model = noisy_photo(90, 70), small_model(COLOUR)
    pixels, weights = photo.pixels.clone(), {name: value.clone() for name, value in model.state_dict().items()}
    view = View(frame(photo, COLOUR), COLOUR)
    result, _ = finished(full_size(model, photo, view, [0, 8]))
    attacked_pixels(photo, view, result.direction, 8)
    full_noise(photo, view, [0, 8])
    assert torch.equal(photo.pixels, pixels)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_is_saved_is_what_was_measured():
    photo = decode(png_of(picture_of(3, Hand(photo=0.7))))
    model, framing = small_model(GREY), frame(photo, GREY, "mnist")
    view = View(framing, GREY)
    result, _ = finished(full_size(model, photo, view, level_grid(0.3)))
    attacked = attacked_pixels(photo, view, result.direction, result.levels[5])
    data = saved_png(attacked, framing, "mnist")
    opened = decode(data)
    assert opened.size == photo.size
    assert torch.equal(opened.pixels, attacked)
    assert torch.allclose(answer_to_file(model, data, GREY, "mnist"), result.shares[5], atol=1e-5)


def test_noise_is_drawn_for_every_pixel_and_averages_out():
    photo = Photo("p", "PNG", torch.full((3, 320, 320), 128, dtype=torch.uint8))
    view = View(frame(photo, COLOUR), COLOUR)
    noise = full_noise(photo, view, range(0, 32, 2))
    assert noise.seen.shape == (16, *COLOUR)
    assert torch.allclose(noise.seen[0], torch.full(COLOUR, 128 / 255))
    spread = noise.seen.flatten(1).std(1) * 255
    assert 0.3 < spread[-1] < 6
    assert (spread.diff() > 0).all()
    assert torch.equal(noise.seen, full_noise(photo, view, range(0, 32, 2)).seen)
    assert noise.direction.shape == (3, 320, 320)
    assert noise.direction.abs().max() <= 1
    assert 0.5 < noise.direction.std() < 0.65  # uniform over [−1, 1]: 0.577
    noisy = noisy_pixels(photo, view, 30)
    assert (noisy.int() - 128).abs().max() == 30
    assert torch.allclose(view(noisy[None].float() / 255)[0], noise.seen[-1], atol=1e-5)


@pytest.mark.parametrize("longest", [50, 90, 1000])
def test_the_small_copy_shows_what_happens_to_the_picture(longest):
    photo = noisy_photo(203, 131)
    framing = Framing(photo.size, crop_box(photo.size, COLOUR, 1.3, 0.1, 0.8))
    model, view = small_model(COLOUR), View(framing, COLOUR)
    result, _ = finished(full_size(model, photo, view, [0, 5]))
    scrub = result.scrub(longest)
    factor = max(1, -(-203 // longest))
    assert scrub.image.shape == (3, 131 // factor, 203 // factor)
    assert scrub.epsilons == (0, 5 / 255)
    assert torch.equal(scrub.shares, result.shares)
    moved = attacked_pixels(photo, view, result.direction, 255).float() - photo.pixels.float()
    middle = moved[:, factor // 2 :: factor, factor // 2 :: factor][:, : 131 // factor, : 203 // factor].sign()
    still = photo.pixels[:, factor // 2 :: factor, factor // 2 :: factor][:, : 131 // factor, : 203 // factor]
    known = (still > 0) & (still < 255)  # black cannot grow darker, nor white brighter
    assert torch.equal(scrub.direction[known], middle[known])
    noise = full_noise(photo, view, [0, 5], longest=longest).scrub(model, scrub)
    assert noise.shares.shape == scrub.shares.shape
    assert ((noise.direction != 0) <= (scrub.direction.abs().sum(0) >= 0)).all()
    assert noise.direction[:, 0].abs().max() == 0  # above the crop nothing moves


PHOTO = """
    import io, resource, sys
    import numpy as np, torch
    from PIL import Image
    from advcore.images import decode
    from advcore.models import checkpoints
    from advcore.photos import framing as views, fullsize

    torch.set_num_threads(2)
    generator = np.random.default_rng(0)
    rough = Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    rough.resize((4000, 3000), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
    checkpoint = checkpoints.find("digits/digits_cnn-standard")
    network, shape, steps = checkpoint.model(), checkpoint.shape, 0
    photo = decode.decode(buffer.getvalue(), "photo.jpg")
    framing = views.frame(photo, shape, "digits")
    view = views.View(framing, shape)
    for share, result in fullsize.full_size(network, photo, view, fullsize.level_grid(0.5)):
        steps += 1
    attacked = fullsize.attacked_pixels(photo, view, result.direction, 8)
    data = views.saved_png(attacked, framing, "digits")
    error = (fullsize.answer_to_file(network, data, shape, "digits") - result.shares[2]).abs().max()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform != "darwin" else 1 << 30)
    print(peak, steps, float(error), *attacked.shape)
"""


def test_a_photo_of_twelve_megapixels_is_answered_in_little_memory():
    root = Path(__file__).resolve().parents[3]
    program = [sys.executable, "-c", textwrap.dedent(PHOTO)]
    done = subprocess.run(program, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    gibibytes, steps, error, *size = map(float, done.stdout.split())
    assert gibibytes < 2
    assert steps > 5
    assert error < 1e-5
    assert size == [3, 3000, 4000]


def test_a_photo_at_its_own_size_is_attacked_in_linf_only():
    photo = noisy_photo(40, 40)
    view = View(frame(photo, COLOUR), COLOUR)
    with pytest.raises(AttackError, match="L∞"):
        attack_whole(small_model(COLOUR), photo, view, FGSM(norm="l2"), 0.5)
