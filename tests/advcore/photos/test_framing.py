"""What a model sees of a photo: the crop, the resize, and digits in their dataset's own form."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from advcore.attacks import FGSM, PGD, input_gradient
from advcore.errors import CheckpointError
from advcore.images.decode import Photo, PhotoError, decode
from advcore.models import checkpoints
from advcore.photos import digits
from advcore.photos.framing import Framing, View, crop_box, frame, pixels_of, saved_png, view_of, whole_framing
from tests.hands import Hand, fonts, picture_of, png_of, printed, random_hand

GREY, COLOUR = (1, 28, 28), (3, 32, 32)


def random_photo(width: int, height: int, channels: int = 3, seed: int = 0) -> Photo:
    generator = torch.Generator().manual_seed(seed)
    return Photo("p", "PNG", torch.randint(0, 256, (channels, height, width), dtype=torch.uint8, generator=generator))


class Linear(torch.nn.Module):
    """A model whose answer depends on every value of its image."""

    def __init__(self, shape: tuple[int, int, int], classes: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("weights", torch.randn(classes, math.prod(shape), generator=generator))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return (seen.flatten(1) - 0.5) @ self.weights.T.to(seen.dtype)


# --- crop and resize -------------------------------------------------------------------------------------------------


def test_the_middle_square_is_what_pillow_makes_of_it():
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)).resize((448, 320), 3)
    photo = decode(png_of(smooth))
    seen = view_of(photo, frame(photo, COLOUR), COLOUR)
    left, top, width, height = crop_box(photo.size, COLOUR)
    box = (left, top, left + width, top + height)
    theirs = smooth.crop(box).resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=2.0)
    assert (seen[0].permute(1, 2, 0) * 255 - torch.from_numpy(np.array(theirs)).float()).abs().max() < 2
    assert seen.shape == (1, 3, 32, 32)


@pytest.mark.parametrize("size", [(28, 28), (9, 9), (64, 30), (30, 64), (200, 199), (1201, 911)])
@pytest.mark.parametrize("shape", [GREY, COLOUR, (1, 8, 8), (3, 64, 48)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_becomes_the_models(size, shape, channels):
    photo = random_photo(*size, channels)
    framing = frame(photo, shape)
    seen = view_of(photo, framing, shape)
    assert seen.shape == (1, *shape)
    assert 0 <= seen.min() <= seen.max() <= 1
    whole = View(framing, shape)(pixels_of(photo))
    assert torch.allclose(seen, whole, atol=1e-5)


def test_a_constant_picture_stays_constant_and_grey_weighs_its_colours():
    pixels = torch.tensor([200, 100, 50], dtype=torch.uint8).view(3, 1, 1).expand(3, 90, 120).contiguous()
    photo = Photo("p", "PNG", pixels)
    assert torch.allclose(view_of(photo, frame(photo, COLOUR), COLOUR), pixels[None, :, :32, :32] / 255)
    grey = view_of(photo, frame(photo, GREY, invert=False), GREY)
    assert torch.allclose(grey, torch.full((1, *GREY), (0.299 * 200 + 0.587 * 100 + 0.114 * 50) / 255), atol=1e-5)
    assert torch.allclose(view_of(photo, frame(photo, GREY, invert=True), GREY), 1 - grey, atol=1e-5)


def test_a_picture_of_the_models_own_size_is_taken_pixel_by_pixel():
    for shape in (GREY, COLOUR):
        photo = random_photo(shape[2], shape[1], shape[0])
        assert torch.equal(view_of(photo, frame(photo, shape, "mnist", invert=False), shape), pixels_of(photo))


def test_paper_is_inverted_and_blackboard_is_not():
    for level, expected in ((250, True), (5, False)):
        pixels = torch.full((1, 60, 60), level, dtype=torch.uint8)
        pixels[:, 20:40, 20:40] = 255 - level
        assert frame(Photo("p", "PNG", pixels), GREY, "fashion-mnist").invert is expected
    assert frame(Photo("p", "PNG", pixels), COLOUR).invert is False


@pytest.mark.parametrize(("size", "shape"), [((640, 480), COLOUR), ((33, 900), (3, 64, 48)), ((8, 8), GREY)])
def test_a_crop_lies_within_the_picture(size, shape):
    for zoom, x, y in ((1, 0.5, 0.5), (2, 0, 0), (2, 1, 1), (5, 0.3, 0.9), (1000, 0.5, 0.5), (0, -3, 7)):
        left, top, width, height = crop_box(size, shape, zoom, x, y)
        assert left >= 0
        assert top >= 0
        assert 1 <= width <= size[0] - left
        assert 1 <= height <= size[1] - top
        view_of(random_photo(*size), Framing(size, (left, top, width, height)), shape)


def test_a_crop_shows_that_part():
    pixels = torch.zeros(3, 100, 200, dtype=torch.uint8)
    pixels[0, :50, :100] = 255
    photo = Photo("p", "PNG", pixels)
    seen = view_of(photo, Framing(photo.size, crop_box(photo.size, COLOUR, 2, 0, 0)), COLOUR)
    assert torch.allclose(seen[0, 0], torch.ones(32, 32))
    assert seen[0, 1:].max() == 0
    assert view_of(photo, Framing(photo.size, crop_box(photo.size, COLOUR, 2, 1, 1)), COLOUR).max() == 0


def test_beyond_the_picture_there_is_only_background():
    photo = Photo("p", "PNG", torch.full((1, 60, 60), 255, dtype=torch.uint8))
    seen = view_of(photo, Framing((60, 60), (-60, 0, 120, 60)), (1, 28, 56))
    assert seen[..., :27].max() == 0
    assert torch.allclose(seen[..., 30:], torch.ones(1))


def test_a_crop_outside_the_picture_is_refused():
    for box in ((0, 0, 0, 5), (500, 0, 20, 20), (-50, 0, 20, 20), (0, 0, 10**9, 5)):
        with pytest.raises(PhotoError):
            Framing.from_dict(Framing((60, 60), box).to_dict())


GOOD = {"size": [9, 9], "box": [0, 0, 9, 9], "invert": True, "ink": {"paper": [0] * 6, "floor": 0, "depth": 1, "boost": 1}}


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        {},
        *(GOOD | {"size": size} for size in ([1], ["a", 1])),
        GOOD | {"box": [0, 0, float("nan"), 1]},
        *(GOOD | {"ink": GOOD["ink"] | odd} for odd in ({"paper": [1]}, {"paper": [1e9] * 6}, {"floor": 1}, {"boost": 1e9})),
    ],
)
def test_a_strange_framing_is_refused_and_left_aside(values):
    assert Framing.from_dict(GOOD).to_dict() == GOOD
    with pytest.raises(PhotoError):
        Framing.from_dict(values)
    photo = Photo("p", "PNG", torch.zeros(1, 40, 60, dtype=torch.uint8), note={"framing": values, "dataset": "mnist"})
    assert frame(photo, GREY, "mnist").box == (10, 0, 40, 40)


def test_a_framing_survives_its_file():
    photo = decode(png_of(picture_of(3, Hand(photo=0.6))))
    framing = frame(photo, GREY, "mnist")
    assert framing.ink is not None
    assert Framing.from_dict(json.loads(json.dumps(framing.to_dict()))) == framing
    moved = Framing(photo.size, (5, 6, 70, 70), True, framing.ink)
    again = decode(saved_png(photo.pixels, moved, "mnist"))
    assert frame(again, GREY, "mnist") == moved
    assert frame(again, GREY, "fashion-mnist").ink is None  # written for another dataset
    assert frame(again, GREY, "mnist", invert=True) == frame(photo, GREY, "mnist", invert=True)  # a person's word counts more
    smaller = Photo("p", "PNG", photo.pixels[:, :50, :50], note=again.note)
    assert frame(smaller, GREY, "mnist").size == (50, 50)


def test_a_saved_view_is_opened_as_it_was():
    seen = torch.randint(200, 256, GREY, dtype=torch.uint8)  # bright all over: without its note it would be inverted
    opened = decode(saved_png(seen, whole_framing(GREY), "mnist"))
    assert torch.equal(view_of(opened, frame(opened, GREY, "mnist"), GREY)[0] * 255, seen.float())


# --- gradients -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["colour", "grey", "inverted", "upsampled", "beyond", "grey to colour"])
def test_the_gradient_reaches_the_original_pixels(case):
    size, channels, shape = (30, 24), 3, (1, 5, 5)
    framing = Framing(size, (3, 2, 20, 20))
    if case == "colour":
        shape = (3, 5, 5)
    elif case == "inverted":
        framing = Framing(size, (3, 2, 20, 20), invert=True)
    elif case == "upsampled":
        shape = (1, 28, 28)
    elif case == "beyond":
        framing = Framing(size, (-8, -6, 30, 30))
    elif case == "grey to colour":
        channels, shape = 1, (3, 5, 5)
    _check_gradient(random_photo(*size, channels), framing, shape)


def test_the_gradient_passes_paper_and_ink():
    ink = digits.Ink((0.8, -0.1, 0.05, 0.0, 0.02, 0.0), 0.05, 0.9, 1.3)
    values = torch.rand(3, 24, 30, generator=torch.Generator().manual_seed(3)) * 0.3 + 0.3  # nowhere near a clamp
    photo = Photo("p", "PNG", (values * 255).to(torch.uint8))
    _check_gradient(photo, Framing(photo.size, (3, 2, 20, 20), True, ink), (1, 5, 5))


def _check_gradient(photo: Photo, framing: Framing, shape: tuple[int, int, int]) -> None:
    """Hold the gradient at the photo's own pixels against finite differences, in double precision."""
    whole = torch.nn.Sequential(View(framing, shape), Linear(shape)).double()
    pixels, label = pixels_of(photo).double(), torch.tensor([1])
    gradient = input_gradient(whole, pixels, label)[0]
    assert gradient.shape == photo.pixels.shape
    assert gradient.abs().max() > 0
    generator, step = np.random.default_rng(0), 1e-5
    for _ in range(12):
        place = tuple(int(generator.integers(size)) for size in gradient.shape)
        losses = []
        for sign in (1, -1):
            moved = pixels.clone()
            moved[(0, *place)] += sign * step
            losses.append(float(torch.nn.functional.cross_entropy(whole(moved).double(), label)))
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(float(gradient[place]), rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=3, random_start=False)])
def test_every_attack_works_on_a_viewed_model_within_epsilon(attack):
    photo = random_photo(61, 47)
    whole = torch.nn.Sequential(View(frame(photo, COLOUR), COLOUR), Linear(COLOUR)).eval()
    pixels = pixels_of(photo)
    attacked = attack.perturb(whole, pixels, epsilon=4 / 255)
    assert attacked.shape == pixels.shape
    assert (attacked - pixels).abs().max() <= 4 / 255
    label = whole(pixels).argmax(1)
    before, after = (float(whole(given).softmax(1)[0, label]) for given in (pixels, attacked))
    assert after < before
    assert torch.equal(attacked[..., :7], pixels[..., :7])  # outside the middle square nothing is seen, or changed


# --- digits --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fifty_photos() -> list[tuple[int, Photo]]:
    """Every digit in five hands: two on a clean pad, two photographed, one in print."""
    generator, faces, found = np.random.default_rng(2024), fonts(), []
    for digit in range(10):
        for photo in (False, False, True, True):
            hand = replace(random_hand(generator, photo=photo), size=200)
            found.append((digit, picture_of(digit, hand, len(found))))
        hand = Hand(height=0.5, turn=generator.uniform(-4, 4))
        found.append((digit, printed(digit, faces[digit % len(faces)], hand)))
    return [(digit, decode(png_of(photo))) for digit, photo in found]


@pytest.mark.parametrize(("checkpoint_id", "share"), [("mnist/lee_cnn-standard", 0.9), ("digits/digits_cnn-standard", 0.75)])
def test_models_read_digits_in_fifty_hands(fifty_photos, checkpoint_id, share):
    try:
        checkpoint = checkpoints.find(checkpoint_id)
    except CheckpointError:
        pytest.skip(f"needs {checkpoint_id}: `python -m advcore checkpoints --rebuild {checkpoint_id}` trains it")
    seen, digits = [], []
    for digit, photo in fifty_photos:
        framing = frame(photo, checkpoint.shape, checkpoint.recipe.dataset)
        assert framing.ink is not None, digit
        seen.append(view_of(photo, framing, checkpoint.shape))
        digits.append(digit)
    answers = checkpoint.model()(torch.cat(seen)).argmax(1)
    right = int((answers == torch.tensor(digits)).sum())
    assert right >= share * len(digits), [pair for pair in zip(digits, answers.tolist(), strict=True) if pair[0] != pair[1]]


@pytest.mark.parametrize("white", [False, True])
@pytest.mark.parametrize("at", [(0.5, 0.5), (0.25, 0.3), (0.75, 0.7)])
def test_ink_is_centred_by_mass_in_a_box_of_twenty(white, at):
    hand = Hand(height=0.35, at=at, white_on_black=white)
    photo = decode(png_of(picture_of(7, hand)))
    framing = frame(photo, GREY, "mnist")
    seen = view_of(photo, framing, GREY)[0, 0]
    assert framing.invert is not white
    rows, columns = (torch.nonzero((seen > 0.5).any(axis)).flatten() for axis in (1, 0))
    assert 19 <= max(len(rows), len(columns)) <= 21
    places = torch.arange(28) + 0.5
    centre = [(seen.sum(axis) * places).sum() / seen.sum() for axis in (1, 0)]
    assert all(13.2 <= middle <= 14.8 for middle in centre)
    assert seen.max() > 0.98
    assert float(seen[[0, -1]].max()) < 0.1


def test_where_there_is_no_ink_the_middle_is_taken():
    for level in (0, 128, 255):
        photo = Photo("p", "PNG", torch.full((1, 90, 120), level, dtype=torch.uint8))
        framing = frame(photo, GREY, "mnist")
        assert framing.ink is None
        assert framing.box == (15, 0, 90, 90)
        assert framing.invert is (level == 255)
    assert frame(random_photo(9, 9), GREY, "mnist").size == (9, 9)


def test_a_crop_chooses_among_several_digits():
    sheet = Image.new("L", (800, 400), 255)
    for index, digit in enumerate((2, 7)):
        sheet.paste(picture_of(digit, Hand(height=0.5)), (index * 400, 0))
    photo = decode(png_of(sheet))
    for crop, expected in (((0, 0, 400, 400), (0, 400)), ((400, 0, 400, 400), (400, 800))):
        left, _, width, _ = frame(photo, GREY, "mnist", crop=crop).box
        assert expected[0] <= left + width / 2 <= expected[1]


def test_a_person_may_overrule_what_was_found():
    photo = decode(png_of(picture_of(4, Hand())))
    assert frame(photo, GREY, "mnist", plain=True).ink is None
    assert frame(photo, GREY, "mnist", plain=True, invert=False).invert is False
    assert frame(photo, GREY, "mnist", invert=True).invert is True


def test_dust_and_a_dark_edge_are_no_digit():
    page = np.array(picture_of(5, Hand(size=500, height=0.4)))
    page[:40] = 20  # the edge of the desk
    page[450:455, 60:66] = 0  # a crumb
    photo = decode(png_of(Image.fromarray(page)))
    left, top, width, height = frame(photo, GREY, "mnist").box
    assert abs(left + width / 2 - 250) < 25
    assert abs(top + height / 2 - 250) < 25


def test_views_leave_no_memory_behind():
    photo = random_photo(300, 200)
    view = View(frame(photo, COLOUR), COLOUR)
    assert not list(view.parameters())
    assert not view.state_dict()


@pytest.mark.parametrize(("shape", "box"), [((3, 224, 224), (0, 0, 8000, 600)), ((1, 28, 28), (0, 0, 56, 8000))])
def test_a_written_crop_of_odd_proportions_is_left_aside_before_memory_is_taken(shape, box):
    with pytest.raises(PhotoError):
        View(Framing((2000, 2000), box), shape)
    note = {"framing": Framing((2000, 2000), box).to_dict(), "dataset": "fashion-mnist"}
    photo = Photo("p", "PNG", torch.zeros(1, 2000, 2000, dtype=torch.uint8), note=note)
    assert frame(photo, shape, "fashion-mnist").box == (0, 0, 2000, 2000)
