"""What samples are: there and back without loss, and pictures that show what is there."""

import io

import numpy
import pytest
import torch
from PIL import Image as Picture
from torch import Tensor

from stable_diffusion_lab.error import ConfigError
from stable_diffusion_lab.modality import audio, image, vector
from stable_diffusion_lab.modality.base import Modality

IMAGES = torch.randint(0, 256, (9, 3, 8, 8), dtype=torch.uint8)
POINTS = torch.randn(500, 3)
WAVES = torch.randint(-(2**15), 2**15, (9, 2, 700), dtype=torch.int16)
KINDS = [(image.Image(), IMAGES), (vector.Vector(), POINTS), (audio.Audio(8000), WAVES)]
EACH = pytest.mark.parametrize(("modality", "stored"), KINDS)


def brightness(panel: object) -> Tensor:
    """One value for each bin of a picture of vectors, the first coordinate rightwards, the second upwards."""
    pixels = torch.from_numpy(numpy.asarray(panel).copy())
    return pixels[:: vector.ENLARGED, :: vector.ENLARGED].flip(0)


def bin_of(*point: float) -> tuple[int, int]:
    column, row = ((value + vector.EDGE) / (2 * vector.EDGE) * vector.BINS for value in point)
    return int(row), int(column)


@EACH
def test_what_is_stored_survives_the_way_to_a_sample_and_back(modality: Modality, stored: Tensor) -> None:
    sample = modality.to_sample(stored)
    assert sample.dtype == torch.float32
    assert torch.equal(modality.to_stored(sample), stored)
    assert modality.to_stored(sample.double()).dtype == stored.dtype


@EACH
def test_a_picture_has_both_stages_side_by_side(modality: Modality, stored: Tensor) -> None:
    other = stored.flip(0)[:4]
    picture, left = modality.picture(stored, stored), modality.panel(stored)
    assert picture.size == (2 * left.width + 8, left.height)
    assert picture.crop((left.width + 8, 0, *picture.size)).tobytes() == left.tobytes()
    assert modality.panel(other).tobytes() != left.tobytes()
    assert numpy.asarray(picture)[:, left.width : left.width + 8].min() == 255


def test_arrays_are_what_others_expect() -> None:
    assert image.Image().array(IMAGES).shape == (9, 8, 8, 3)
    assert image.Image().array(IMAGES[:, :1]).shape == (9, 8, 8)
    points = vector.Vector().array(POINTS)
    assert (points.shape, points.dtype) == ((500, 3), numpy.float32)


def test_every_image_is_a_file_of_its_own_and_a_vector_is_none() -> None:
    pairs = zip(image.Image().files(IMAGES), image.Image().array(IMAGES), strict=True)
    assert all((numpy.asarray(Picture.open(io.BytesIO(file))) == array).all() for file, array in pairs)
    with pytest.raises(ConfigError, match=r"say samples\.npz or grid\.png"):
        vector.Vector().files(POINTS)


def test_points_are_shown_where_they_are() -> None:
    points = torch.tensor([[0.5, 0.5], [-0.5, 0.9], [-0.5, 0.9], [-0.5, 0.9]])
    shown = brightness(vector.Vector().panel(points))
    assert shown.count_nonzero() == 2
    assert shown[bin_of(-0.5, 0.9)] == 255, "where most points are"
    assert shown[bin_of(0.5, 0.5)] == round(255 * 0.5), "log 2 / log 4"


def test_points_outside_are_shown_at_the_border() -> None:
    shown = brightness(vector.Vector().panel(torch.tensor([[7.0, 0.0], [0.0, -7.0], [float("nan"), 0.0]])))
    assert shown[bin_of(0, 0)[0], -1] == shown[0, bin_of(0, 0)[1]] == 255


@pytest.mark.parametrize("dim", [1, 3, 5])
def test_of_other_dimensions_the_first_two_coordinates_are_shown(dim: int) -> None:
    points = torch.rand(100, dim)
    flat = torch.cat([points, torch.zeros(100, 1)], dim=1)[:, :2]
    panels = [vector.Vector().panel(each) for each in (points, flat)]
    assert panels[0].tobytes() == panels[1].tobytes()


def test_panels_of_different_size_are_shown_whole() -> None:
    class Wide(image.Image):
        """Panels as wide as the first value of their samples says."""

        def panel(self, stored: Tensor) -> Picture.Image:
            return Picture.new("L", (int(stored.flatten()[0]), 10 + int(stored.flatten()[0])), 7)

    picture = Wide().picture(torch.tensor([[5]]), torch.tensor([[9]]))
    assert picture.size == (5 + 8 + 9, 19)
    assert (numpy.asarray(picture)[:, 13:] == 7).all()
