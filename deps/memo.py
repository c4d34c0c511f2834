"""A small cache for costly, pure constructions, such as a fitted classifier."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar, cast

__all__ = ("Memo",)

T = TypeVar("T")


@dataclass(eq=False)
class Memo:
    """Build a value once per key, off the event loop, and keep the `size` last used.

    Belongs to whoever makes it (usually a `Deps`), never to a module. Safe under concurrency:
    between threads by locks, one per key, so that two different keys build side by side.
    """

    size: int = 32
    _values: OrderedDict[str, Any] = field(default_factory=OrderedDict[str, Any], repr=False)
    _locks: dict[str, Lock] = field(default_factory=dict[str, Lock], repr=False)
    _guard: Lock = field(default_factory=Lock, repr=False)

    async def get(self, key: str, build: Callable[[], T]) -> T:
        """Return the value of `key`, building it in a worker thread if it is not there."""
        hit, value = self._look(key)
        if hit:
            return cast(T, value)
        return await asyncio.to_thread(self.get_sync, key, build)

    def get_sync(self, key: str, build: Callable[[], T]) -> T:
        """Return the value of `key`, building it in this thread if it is not there.

        A failing `build` raises to every caller that waited and leaves nothing behind.
        """
        with self._guard:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            hit, value = self._look(key)
            if not hit:
                value = build()
                self._keep(key, value)
        return cast(T, value)

    def _look(self, key: str) -> tuple[bool, Any]:
        with self._guard:
            if key not in self._values:
                return False, None
            self._values.move_to_end(key)
            return True, self._values[key]

    def _keep(self, key: str, value: object) -> None:
        with self._guard:
            self._values[key] = value
            self._locks.pop(key, None)
            while len(self._values) > self.size:
                self._values.popitem(last=False)
