"""Finished predictions, kept within a memory budget; the least recently used leave first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

from napari_mrseg.inference.prediction import Prediction


class PredictionCache:
    """A thread-safe dictionary of predictions of at most ``budget`` bytes (the newest always stays)."""

    def __init__(self, budget: int = 2 * 1024**3) -> None:
        self.budget = budget
        self._items: OrderedDict[Hashable, Prediction] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Prediction | None:
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, key: Hashable, prediction: Prediction) -> None:
        with self._lock:
            self._items[key] = prediction
            self._items.move_to_end(key)
            while len(self._items) > 1 and sum(p.nbytes for p in self._items.values()) > self.budget:
                self._items.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._items.clear()

    def __len__(self) -> int:
        return len(self._items)
