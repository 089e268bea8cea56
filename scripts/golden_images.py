"""Writes tests/golden/images: small image files of the kinds that cameras, scanners and drawing programs write.

Needs Pillow and numpy:

    python3 -m venv .venv && .venv/bin/pip install pillow numpy && .venv/bin/python scripts/golden_images.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

TARGET = Path(__file__).parent.parent / "tests/golden/images"


def colours() -> Image.Image:
    """A gradient with a frame and noise, so that blocks have many coefficients, of sides that no block size divides."""
    rows, columns = np.mgrid[0:45, 0:59]
    noise = np.random.default_rng(0).integers(-20, 20, (45, 59, 3))
    gradient = np.stack([rows * 5, columns * 4, (rows + columns) * 2], axis=-1)
    gradient[10:30, 20:40] = [200, 30, 90]
    return Image.fromarray(np.clip(gradient + noise, 0, 255).astype("uint8"))


def seven() -> np.ndarray:
    """The pixels of a drawn seven."""
    ink = np.zeros((16, 16), bool)
    ink[2:4, 3:13] = True
    for row in range(4, 14):
        column = 11 - (row - 4) // 2
        ink[row, column : column + 2] = True
    return ink


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    image = colours()

    def jpeg(name: str, picture: Image.Image, **options: object) -> None:
        picture.save(TARGET / f"{name}.jpg", quality=60, **options)

    jpeg("baseline", image, subsampling=0)
    jpeg("subsampled_restarts", image, subsampling=2, restart_marker_blocks=3)
    jpeg("progressive", image, subsampling=2, progressive=True)
    jpeg("progressive_restarts", image, subsampling=1, progressive=True, restart_marker_blocks=5)
    jpeg("grey", image.convert("L"))
    jpeg("cmyk", image.convert("CMYK"))
    ink = seven()
    size = (16, 16)
    orientation = Image.Exif()
    orientation[0x112] = 6
    jpeg("turned", Image.fromarray(np.where(ink, 255, 0).astype("uint8")).rotate(90), exif=orientation)

    def png(name: str, picture: Image.Image, **options: object) -> None:
        picture.save(TARGET / f"{name}.png", **options)

    palette = Image.new("P", size)
    palette.putpalette([0, 0, 0] * 2 + [0] * 762)
    palette.putdata(ink.astype(int).ravel().tolist())
    png("transparent_palette", palette, transparency=0)
    alpha = Image.fromarray(np.where(ink, 255, 0).astype("uint8"))
    png("grey_alpha", Image.merge("LA", (Image.new("L", size), alpha)))
    png("grey_transparent", Image.fromarray(np.where(ink, 0, 7).astype("uint8")), transparency=7)
    png("sixteen_bits", Image.fromarray(np.where(ink, 65535, 0).astype("uint16")))
    png("one_bit", Image.fromarray(ink))


if __name__ == "__main__":
    main()
