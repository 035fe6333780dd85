"""Keep a network out of reach of the gradient while part of a graph is built."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Build the enclosed part of the graph with the modules' parameters as constants.

    Gradients still flow *through* the modules to their inputs. This is how each term of the one
    summed loss reaches exactly one player: the generator's term sees a frozen critic and refiner.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
