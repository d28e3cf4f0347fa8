"""A key-value cache with room to grow, for decoding many answers together.

In:  the keys and values that each attention layer computes in a forward of transformers.
Out: all keys and values so far. :func:`barnlib.decoding.greedy` decodes with it.

The cache of transformers copies everything it holds whenever a token is added: at the scale nano about a tenth of the
time of answers of a hundred tokens, and nothing that can be measured of short ones. Here new keys are written into room
that is reserved ahead. Every layer keeps every key, also in models with a sliding window: which key a query sees is the
mask's business.
"""

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64  # positions reserved ahead


class RoomyLayer(DynamicLayer):
    """Keys and values of one layer: ``keys`` and ``values``, float[B, heads, S, width], are views of larger tensors."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Add float[B, heads, new, width] behind what there is, and return everything."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._rooms = [new[:, :, :0] for new in (key_states, value_states)]
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if end > self._rooms[0].shape[-2]:
            self._rooms = [_enlarged(room[:, :, :start], end + ROOM) for room in self._rooms]
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, start:end] = new
        self.keys, self.values = (room[:, :, :end] for room in self._rooms)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep only these rows of the batch."""
        length = self.get_seq_length()
        self._rooms = [room[indices] for room in self._rooms]
        self.keys, self.values = (room[:, :, :length] for room in self._rooms)


def roomy_cache() -> Cache:
    """An empty cache for all layers of a model."""
    return Cache(layer_class_to_replicate=RoomyLayer)


def _enlarged(old: Tensor, positions: int) -> Tensor:
    """Room for so many positions, with ``old`` at the start."""
    room = old.new_empty(*old.shape[:2], positions, old.shape[-1])
    room[:, :, : old.shape[-2]] = old
    return room
