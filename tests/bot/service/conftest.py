import io

from PIL import Image


def picture(width=96, height=64, colour="teal"):
    """The bytes of an attached PNG with an edge in it."""
    image = Image.new("RGB", (width, height), "white")
    image.paste(colour, (16, 16, 48, 48))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pixels(path):
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()
