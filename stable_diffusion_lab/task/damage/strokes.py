"""Free-form strokes of a brush."""

import math

import torch
from torch import Tensor

from stable_diffusion_lab.bounds import Fraction, PositiveFloat, PositiveInt
from stable_diffusion_lab.task.damage.between import Between
from stable_diffusion_lab.task.damage.mask import Mask


class Strokes(Mask):
    """Hides polylines with random angles, lengths and widths, and round ends (Suvorov et al. 2022, LaMa).

    Every length is a share of the side of a square as large as the image, so that masks look the same at
    any size. A sample draws what share of it is to be hidden. Pieces of its strokes are added in their order
    until there is that much, or until one would make it more than ``highest``. So no more than ``highest`` is
    hidden; less than ``lowest`` only where strokes are too few and thin for it, or a piece takes more than
    the bounds are apart.

    A stroke that leaves the image comes back, mirrored at its edge.

    Args:
        strokes: greatest number of strokes.
        corners: pieces of each.
        lowest: least share of the image that is to be hidden.
        highest: greatest.
        thinnest: least width of a stroke, drawn for each stroke; never less than one pixel.
        thickest: greatest.
        shortest: least length of a piece, drawn for each piece.
        longest: greatest.
        turn: greatest change of direction at a corner, in radians.

    Raises:
        ConfigError: if a least value is above its greatest.
    """

    directions = frozenset({2})

    def __init__(
        self,
        strokes: PositiveInt,
        corners: PositiveInt,
        lowest: Fraction,
        highest: Fraction,
        thinnest: PositiveFloat,
        thickest: PositiveFloat,
        shortest: PositiveFloat,
        longest: PositiveFloat,
        turn: PositiveFloat,
    ) -> None:
        self.strokes = strokes
        self.corners = corners
        self.share = Between(lowest, highest)
        self.width = Between(thinnest, thickest, ("thinnest", "thickest"))
        self.length = Between(shortest, longest, ("shortest", "longest"))
        self.turn = Between(-turn, turn)

    def hidden(self, n: int, size: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
        wanted = self.share.draw(rng, n, 1).to(device, non_blocking=True)
        pieces = self.pieces(n, size, rng).to(device, non_blocking=True).unbind(1)
        first = torch.full((n, *size), len(pieces), device=device)  # number of the piece that covers a pixel
        # A loop over pieces: all at once would hold that many times the memory.
        for number, piece in reversed(list(enumerate(pieces))):
            first.masked_fill_(covered(piece, size), number)
        flat = first.flatten(1)
        pixels = torch.zeros(n, len(pieces) + 1, dtype=torch.int64, device=device)
        pixels.scatter_add_(1, flat, torch.ones_like(flat))
        after = pixels[:, :-1].cumsum(dim=1) / math.prod(size)
        before = torch.cat([torch.zeros_like(wanted), after[:, :-1]], dim=1)
        taken = ((before < wanted) & (after <= self.share.highest)).sum(dim=1)
        return first < taken[:, None, None]

    def pieces(self, n: int, size: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Ends and radius of every piece in pixels, ``[n, strokes * corners, 5]``: y, x, y, x, radius."""
        unit, sides = math.sqrt(math.prod(size)), torch.tensor(size).float()
        start = torch.rand(n, self.strokes, 1, 2, generator=rng) * sides
        heading = 2 * math.pi * torch.rand(n, self.strokes, 1, generator=rng)
        heading = heading + self.turn.draw(rng, n, self.strokes, self.corners).cumsum(dim=2)
        length = unit * self.length.draw(rng, n, self.strokes, self.corners)
        step = length[..., None] * torch.stack([heading.sin(), heading.cos()], dim=-1)
        path = torch.cat([start, start + step.cumsum(dim=2)], dim=2)
        path = sides - (path.remainder(2 * sides) - sides).abs()
        radius = (unit * self.width.draw(rng, n, self.strokes, 1, 1)).clamp_min(1) / 2
        radius = radius.expand(-1, -1, self.corners, -1)
        return torch.cat([path[:, :, :-1], path[:, :, 1:], radius], dim=3).flatten(1, 2)


def covered(piece: Tensor, size: tuple[int, ...]) -> Tensor:
    """Which pixels have their centres within a radius of a line from one point to another.

    Args:
        piece: ``[n, 5]``: y, x, y, x and radius, in pixels from the upper left corner of the image.
        size: height and width.

    Returns:
        bool ``[n, *size]``.
    """
    a, b, radius = piece.split([2, 2, 1], dim=1)
    step = b - a + 1e-4  # which gives a point a direction
    half = step.norm(dim=1) / 2
    direction = step / (2 * half[:, None])
    middle = (a + b) / 2
    rows, columns = (torch.arange(side, device=piece.device) + 0.5 for side in size)
    y, x = rows - middle[:, :1], columns - middle[:, 1:]
    uy, ux = direction[:, :1], direction[:, 1:]
    along = (uy * y)[:, :, None] + (ux * x)[:, None]
    across = (ux * y)[:, :, None] - (uy * x)[:, None]
    beyond = along.abs_().sub_(half[:, None, None]).clamp_min_(0)
    return across.square_().addcmul_(beyond, beyond) <= radius[:, :, None].square()
