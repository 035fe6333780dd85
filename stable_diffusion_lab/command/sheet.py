"""One picture that compares the completions of a file."""

from PIL import Image

from stable_diffusion_lab.command.complete import Completed
from stable_diffusion_lab.file.base import Opened
from stable_diffusion_lab.modality.base import GAP, Modality, captioned

_LARGEST = 6000  # pixels, of either side
_LEGIBLE = 240  # pixels: lower pictures are enlarged to about this height, as far as they may be


def sheet(opened: Opened, done: Completed, modality: Modality) -> Image.Image:
    """Side by side: what was left (lost parts grey), the best completion as drafted and as refined, the other
    completions in the order of their evidence, and how far completions are apart.
    """
    samples = [done.damaged, done.draft[0], *done.refined, *opened.spread(done.refined)]
    captions = ["damaged", "draft 1", "refined 1", *map(str, range(2, len(done.refined) + 1)), "uncertainty"]
    picture = modality.picture(*(modality.to_stored(opened.view(sample[None])) for sample in samples))
    picture.thumbnail((_LARGEST, _LARGEST))
    factor = max(1, min(_LEGIBLE // picture.height, _LARGEST // picture.width))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    return captioned(picture.convert("RGB"), captions, GAP * factor)
