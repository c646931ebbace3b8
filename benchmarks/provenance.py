"""What the marks of a picture cost: bytes and milliseconds, with and without a signature.

    python -m benchmarks.provenance

The certificate is made here, by an authority that nobody trusts.
"""

from __future__ import annotations

import io
import statistics
import time

from PIL import Image
from rich.console import Console
from rich.table import Table

from bot.credentials import Credentials
from bot.jobs import Job
from bot.provenance import Provenance
from generation.results import COMPRESS_LEVEL
from generation.types import GenerationRequest
from tests.certificates import signing_chain

RUNS = 7
SIDE = 1024


def measured(encode):
    """The bytes that *encode* returns, and the median of its milliseconds."""
    seconds = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        data = encode()
        seconds.append(time.perf_counter() - begun)
    return len(data), statistics.median(seconds) * 1e3


def bare(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def main() -> None:
    request = GenerationRequest(
        prompt="a lighthouse on a cliff in a storm, seen from the sea, oil on canvas",
        num_inference_steps=28,
        guidance_scale=3.5,
        width=SIDE,
        height=SIDE,
        seed=1,
        preset="plain",
        model="black-forest-labs/FLUX.1-dev",
    )
    picture = Image.effect_noise((SIDE, SIDE), 40).convert("RGB")
    small = picture.resize((256, 256))
    marks = Provenance()
    signed = Provenance(sign=Credentials(*signing_chain(), "es256").sign)
    facts = marks.of(Job(user="web:ada", request=request), request)
    table = Table("file", "bytes", "marks +B", "signed +B", "ms", "marks +ms", "signed +ms")
    for name, plainly, encode in (
        (
            f"PNG, {SIDE}²",
            lambda: bare(picture, "PNG", compress_level=COMPRESS_LEVEL),
            lambda with_: with_.png(picture, facts),
        ),
        (
            f"WebP, {SIDE}²",
            lambda: bare(picture, "WEBP", quality=85, method=2),
            lambda with_: with_.webp(picture, facts, quality=85, method=2),
        ),
        (
            "WebP thumbnail, 256²",
            lambda: bare(small, "WEBP", quality=80, method=0),
            lambda with_: with_.webp(small, facts, quality=80, method=0),
        ),
    ):
        size, taken = measured(plainly)
        row = [f"{size:,}"]
        times = [f"{taken:.1f}"]
        for with_ in (marks, signed):
            more, longer = measured(lambda with_=with_, encode=encode: encode(with_))
            row.append(f"{more - size:+,}")
            times.append(f"{longer - taken:+.1f}")
        table.add_row(name, *row, *times)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
