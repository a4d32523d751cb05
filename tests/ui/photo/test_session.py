"""What visitors hold of their photos, and the command that repeats an attack on one."""

from __future__ import annotations

import gc
import shlex
import weakref
from types import SimpleNamespace

import pytest
import torch

from advcore.attacks import FGSM
from advcore.cli.main import parser
from advcore.images.decode import decode
from advcore.images.encode import encode_png
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
