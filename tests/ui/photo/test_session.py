"""What visitors hold of their photos, and the command that repeats an attack on one."""

from __future__ import annotations

import gc
import shlex
import weakref
from types import SimpleNamespace

import pytest
import torch

from advcore import data
from advcore.attacks import FGSM, PGD
from advcore.cli.main import parser
from advcore.evaluation.scrub import scrub
from advcore.images.decode import decode
from advcore.images.encode import encode_png
from advcore.models import checkpoints
from ui.photo import session


def test_all_visitors_together_hold_a_limited_number_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_everyone", weakref.WeakSet())
    monkeypatch.setattr(session, "MAX_ALL", 500)
    monkeypatch.setattr(session, "decoded", decode)
    one, other = session.Uploads(), session.Uploads()
    picture = encode_png(torch.zeros(1, 20, 20, dtype=torch.uint8))
    assert one.put("a.png", picture)
    assert other.put("a.png", picture) is None
    assert len(other.problems) == 1
    del one
    gc.collect()
    assert other.put("a.png", picture)


def test_the_command_quotes_names_that_begin_like_options() -> None:
    model = SimpleNamespace(id="digits/digits_cnn-standard")
    plain = {"full": False, "crop": None, "invert": None, "plain": False}
    words = session.command(model, "--help me.png", FGSM(targeted=True), 0.1, "--json", **plain)
    read = parser().parse_args(shlex.split(words)[3:])
    assert (str(read.image), read.target, read.epsilon) == ("--help me.png", "--json", 0.1)


def test_a_slow_attack_made_in_parts_is_the_attack_and_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "made", lambda _, make: make())
    models = [checkpoints.find(f"digits/digits_cnn-{name}") for name in ("standard", "fgsm-0.2")]
    photo = decode(encode_png(data.load("digits").images[0]))  # in a random picture a gradient can be 0 but for rounding
    framed = session.frame_photo("id", photo, models[0], plain=True)
    epsilons, told = data.dataset("digits").epsilons, []
    found = session.attack_views(models, framed, PGD(steps=3), None, epsilons, told.append)
    for answered in found:
        whole = scrub(session.network(answered.model), framed.seen, PGD(steps=3), epsilons)
        assert answered.attack.epsilons == whole.epsilons
        assert torch.equal(answered.attack.frames, whole.frames)
        torch.testing.assert_close(answered.attack.shares, whole.shares)
    assert told == sorted(told)
    assert told[0] == 0
    assert told[-1] < 1
    assert len(told) == 2 * -(-len(found[0].attack.epsilons) // 4)
