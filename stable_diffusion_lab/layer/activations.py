"""What a plain network computes on the way to its output."""

from collections.abc import Iterable

from torch import Tensor, nn


def activations(layers: Iterable[nn.Module], x: Tensor, after: type[nn.Module]) -> list[Tensor]:
    """Outputs ``[B, ...]`` of the layers of the kind ``after``, run in a row, and that of the last layer."""
    found = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, after):
            found.append(x)
    return [*found, x]
