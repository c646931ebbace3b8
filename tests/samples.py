"""Pictures that tests build, and what stands in those that come back."""

import base64
import io

import numpy as np
from PIL import Image, ImageDraw


def square(width=96, height=96, colour="red"):
    """A square on white, as an RGB image: it has edges, and another half than its mirror."""
    image = Image.new("RGB", (width, height), "white")
    box = (width // 4, height // 4, width * 3 // 4, height // 2)
    ImageDraw.Draw(image).rectangle(box, fill=colour)
    return image


def noise(width=48, height=32, colour="red"):
    """Noise beside a flag: an RGB image that no format makes small."""
    shades = np.random.default_rng(0).integers(0, 60, (height, width, 3), np.uint8)
    image = Image.fromarray(shades)
    ImageDraw.Draw(image).rectangle((0, 0, width // 2, height // 2), fill=colour)
    return image


def file(image, format="PNG", **options):
    """The bytes of an image file."""
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def picture(width=96, height=96, colour="red", format="PNG"):
    """The bytes of a file that somebody attaches."""
    return file(square(width, height, colour), format)


def data_url(data, media_type="image/png"):
    """Bytes as a ``data:`` address."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def opened(source):
    """The image in the bytes of a file, at a path, or in a ``data:`` address."""
    if isinstance(source, str):
        source = base64.b64decode(source.partition(",")[2])
    image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    image.load()
    return image


def pixels(source):
    """Size and RGB values of an image that `opened` takes."""
    image = opened(source)
    return image.size, image.convert("RGB").tobytes()
