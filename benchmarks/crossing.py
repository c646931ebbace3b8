"""CPU that the bot spends on a picture which a child has drawn, and what the child spends.

    python -m benchmarks.crossing

Draws pictures with grain in a child and stores them as the gallery does, and prints the
milliseconds of CPU of this process for each. The last column is what the child spends on the
files, which this process would otherwise.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from PIL import Image, ImageChops

from bot.gallery import Gallery
from bot.jobs import Job
from generation.child import ChildEngine
from generation.protocols import OnStep
from generation.results import GenerationResult, encoded
from generation.stub import StubEngine
from generation.types import GenerationRequest

PICTURES = 20
SIZES = (256, 512, 1024)


class GrainEngine(StubEngine):
    """The stub with the grain of a photograph, without which a PNG would be small."""

    def generate(self, request: GenerationRequest, on_step: OnStep) -> GenerationResult:
        result = super().generate(request, on_step)
        grain = Image.effect_noise(result.image.size, 8).convert("RGB")
        image = ImageChops.add(result.image, grain, offset=-128)
        return GenerationResult(image, result.seconds)


def main() -> None:
    engine = ChildEngine("benchmarks.crossing:GrainEngine")
    engine.load()
    print("| size | MB | received, ms | received and stored, ms | encoded, ms |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        gallery = Gallery(Path(folder))
        for side in SIZES:
            request = GenerationRequest(
                prompt="a fox",
                num_inference_steps=4,
                guidance_scale=3.5,
                width=side,
                height=side,
                seed=1,
                preset="plain",
            )
            received = stored = spent = 0.0
            for _ in range(PICTURES):
                started = time.process_time()
                files = engine.generate(request, lambda step: None).files()
                received += time.process_time() - started
                gallery.save(Job(user="loop:ada", request=request), 1, request, files)
                stored += time.process_time() - started
                image = files.opened()
                image.load()
                started = time.process_time()
                encoded(image)
                spent += time.process_time() - started
            cells = [f"{1e3 * seconds / PICTURES:.1f}" for seconds in (received, stored, spent)]
            print(f"| {side}² | {len(files.png) / 1e6:.1f} | {' | '.join(cells)} |")
    engine.close()


if __name__ == "__main__":
    main()
