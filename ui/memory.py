"""A store of results that is limited in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from advcore.images.decode import Photo


class Store:
    """Values by key. Beyond `most` of them, or `most_bytes`, the least recently used are dropped, never the newest.

    `room` says how many more bytes this store may take beside others of its kind.
    """

    def __init__(self, most: int, most_bytes: int, room: Callable[[], float] = lambda: float("inf")) -> None:
        self.most, self.most_bytes, self.room = most, most_bytes, room
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    @property
    def size(self) -> int:
        """How many bytes its values take."""
        return sum(size for _, size in list(self._values.values()))

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def __iter__(self) -> Iterable[Hashable]:
        return iter(list(self._values))

    def get(self, key: Hashable) -> Any:
        """The value, or None; it counts as used."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Hashable, value: Any) -> None:
        """Keep a value."""
        self._values[key] = value, size_of(value)
        self._values.move_to_end(key)
        while len(self._values) > 1 and (len(self._values) > self.most or self.size > self.most_bytes or self.room() < 0):
            self._values.popitem(last=False)

    def drop(self, key: Hashable) -> None:
        """Forget a value."""
        self._values.pop(key, None)


def size_of(value: object) -> int:
    """About how many bytes a result takes: its tensors, each once, and its files, but no photos (they are kept elsewhere)."""
    seen: dict[int, int] = {}
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, Tensor):
            seen[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
        elif isinstance(item, bytes):
            seen[id(item)] = len(item)
        elif isinstance(item, Mapping):
            left += item.values()
        elif isinstance(item, list | tuple):
            left += item
        elif is_dataclass(item) and not isinstance(item, Photo | type):
            left += [getattr(item, field.name) for field in fields(item)]
    return sum(seen.values())
