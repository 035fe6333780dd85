"""Reading picture files safely, and writing them again with other pixels."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from stable_diffusion_lab.error import DataError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
)
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # decoders that start no other program
PIXEL_LIMIT = 25_000_000  # fewer than Pillow's own
# What Pillow raises when a file is not what it should be.
_DAMAGED = (LookupError, TypeError, ArithmeticError)
FAULTS = (
    *(OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError),
    *_DAMAGED,
)
MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "I;16B", "I;16L"}

# How a TIFF file is laid out, which is not how another one will be: these tags are not metadata.
LAYOUT = (254, 255, *range(256, 260), 262, 266, 273, *range(277, 281), 284, 317, *range(320, 326))
LAYOUT += (330, 338, 339, 347, 512, 513, 514, *range(529, 533))
ORIENTATION, PROFILE = 274, 34675
LOSSLESS_TIFF = {"raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "group3", "group4"}


class Kind(NamedTuple):
    """A format that keeps pixels as they are.

    Attributes:
        suffix: how names end.
        modes: what it can hold.
        options: what Pillow has to be told.
    """

    suffix: str
    modes: set[str]
    options: dict[str, Any]


KINDS = {
    "PNG": Kind(".png", {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"}, {}),
    "BMP": Kind(".bmp", {"1", "L", "P", "RGB", "RGBA"}, {}),
    "GIF": Kind(".gif", {"L", "P"}, {"optimize": False}),
    "WEBP": Kind(".webp", {"RGB", "RGBA"}, {"lossless": True, "exact": True}),
    "PPM": Kind(".ppm", {"1", "L", "RGB", "I"}, {}),
    "TIFF": Kind(".tif", MODES, {}),
}


def read(path: Path) -> Image.Image:
    """One picture, upright, in its own mode and with its metadata.

    Raises:
        DataError: if there is no picture or more than one, or it cannot be restored without loss.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow makes of a damaged file, it makes an error of too
            return _read(path)
    except FAULTS as error:
        raise DataError("DATA-IMAGE", f"{path}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What one of the ``FAULTS`` means, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that is known here; say PNG or TIFF"
    if isinstance(error, _DAMAGED):
        return f"damaged ({type(error).__name__}: {error})"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


@contextmanager
def opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """A picture of which nothing but the header has been read yet. Raises one of the ``FAULTS``."""
    if path.stat().st_size == 0:
        raise ValueError("empty file")
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > PIXEL_LIMIT:
            megapixels = width * height / 1e6
            raise ValueError(f"{width}x{height} = {megapixels:.0f} Mpx, limit {PIXEL_LIMIT / 1e6:.0f} Mpx")
        yield image


def _read(path: Path) -> Image.Image:
    with opened(path) as image:
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:  # MPO: a photograph and its previews
            raise ValueError("more than one picture in a file; save each by itself")
        _fits(image)
        image.load()
        upright = ImageOps.exif_transpose(image)
        exif = image.getexif()
        for tag in (*LAYOUT, ORIENTATION, PROFILE):
            exif.pop(tag, None)
    upright.format = image.format
    upright.info["exif"] = exif.tobytes() if len(exif) else b""
    if upright.mode == "I" and not 0 <= np.asarray(upright).min() <= np.asarray(upright).max() <= 65535:
        raise ValueError("more than 16 bits per pixel; scale it to 16 or 8")
    return upright


def _fits(image: ImageFile.ImageFile) -> None:
    """Refuse what would lose precision, or has no range."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, which have no fixed range; save it with 16 or 8 bits")
    if image.mode not in MODES:
        raise ValueError(f"pixels of mode {image.mode}; save it as RGB or grey")
    if any(map(_deep, image.tile)) and not image.mode.startswith("I"):
        raise ValueError("16 bits per colour, of which only 8 can be read; save it with 8, or grey with 16")


def _deep(part: Any) -> bool:
    """Whether a piece of a file has more than 8 bits per number, by what Pillow tells its decoder."""
    scaled = part.codec_name.startswith("ppm") and isinstance(part.args, tuple) and part.args[-1] > 255
    return scaled or ";16" in str(part.args)


def alpha(image: Image.Image) -> np.ndarray:
    """How opaque each pixel is, ``[H, W]`` uint8 from 0 to 255."""
    if image.mode in ("P", "LA", "RGBA") and image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))[..., 3]
    if "transparency" in image.info:
        hit = np.asarray(image) == np.array(image.info["transparency"])
        return np.where(hit.all(axis=-1) if hit.ndim == 3 else hit, 0, 255).astype(np.uint8)
    return np.full((image.height, image.width), 255, dtype=np.uint8)


def colours(image: Image.Image) -> np.ndarray:
    """What colour each pixel has, however opaque it is, ``[H, W, 3]`` uint8."""
    way = "RGBA" if "transparency" in image.info else "RGB"
    return np.array(image.convert(way).convert("RGB"))


def coloured(image: Image.Image) -> Image.Image:
    """The same picture in a mode that has whatever colours there are; a profile of grey would not fit it."""
    if image.mode not in ("1", "L", "LA", "P"):
        return image
    found = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode != "P":
        found.info.pop("icc_profile", None)
    return found


def suffix(path: Path, image: Image.Image) -> str:
    """How the name of a result ends: as that of the picture, if its format keeps pixels as they are."""
    name = _kind(image)
    known = Image.registered_extensions().get(path.suffix.lower()) == name
    return path.suffix if known and name == image.format else KINDS[name].suffix


def _kind(image: Image.Image) -> str:
    """The picture's own format, or the first that keeps its pixels."""
    return next(
        name for name in (image.format, "PNG", "TIFF") if name in KINDS and image.mode in KINDS[name].modes
    )


def save(image: Image.Image, pixels: np.ndarray) -> bytes:
    """The bytes of a file with other pixels of the same mode, and with EXIF, ICC profile and resolution."""
    changed = image.copy()
    flat = np.packbits(pixels, axis=1) if image.mode == "1" else np.ascontiguousarray(pixels)
    changed.frombytes(flat.tobytes())
    name = _kind(image)
    options: dict[str, Any] = dict(KINDS[name].options)
    options |= {key: image.info[key] for key in ("exif", "icc_profile", "dpi") if image.info.get(key)}
    if options.get("dpi") == (1, 1):  # what Pillow says where a file does not
        del options["dpi"]
    if name == "TIFF":
        found = image.info.get("compression")
        options["compression"] = found if found in LOSSLESS_TIFF else "tiff_adobe_deflate"
    buffer = io.BytesIO()
    changed.save(buffer, format=name, **options)
    return buffer.getvalue()
