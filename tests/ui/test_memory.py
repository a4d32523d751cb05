"""Results are kept up to a number of bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from advcore.images.decode import Photo
from ui.memory import Store, size_of


@dataclass(frozen=True)
class Result:
    pixels: torch.Tensor
    parts: tuple[object, ...] = ()
    photo: Photo | None = None


def test_a_result_is_as_large_as_its_tensors_and_files() -> None:
    pixels = torch.zeros(1000)
    assert size_of(Result(pixels, (pixels[:10], {"file": bytes(50)}, "text", 3))) == 4050, "a view shares its memory"
    photo = Photo("x", "PNG", torch.zeros(3, 100, 100, dtype=torch.uint8))
    assert size_of(Result(pixels, (), photo)) == 4000, "photos are counted where they are kept"


def test_the_least_recently_used_results_go_first() -> None:
    store = Store(most=10, most_bytes=1000)
    for name in "abc":
        store.put(name, bytes(300))
    assert store.get("a") == bytes(300)
    store.put("d", bytes(300))
    assert list(store) == ["c", "a", "d"]
    assert store.size == 900
    store.put("a", bytes(500))
    assert list(store) == ["d", "a"]
    store.put("huge", bytes(5000))
    assert list(store) == ["huge"], "the newest one is always kept"
    store.drop("huge")
    assert (store.get("huge"), store.size) == (None, 0)
    for name in range(20):
        store.put(name, b"")
    assert len(list(store)) == 10


def test_stores_share_what_all_may_take() -> None:
    stores: list[Store] = []
    stores += [Store(10, 1000, lambda: 1000 - sum(store.size for store in stores)) for _ in range(2)]
    one, two = stores
    for name in "ab":
        one.put(name, bytes(400))
    two.put("a", bytes(150))
    two.put("b", bytes(150))
    assert (one.size, list(two)) == (800, ["b"])
    assert Store(1, 1).room() == math.inf
