"""Adding a family of models, or a kind of preset, takes one class and one line in a table."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from PIL import Image

from generation.diffusion.embeddings import Embeddings
from generation.diffusion.engine import DiffusionEngine
from generation.diffusion.family import Call
from generation.diffusion.memory import OFFLOAD_LEVELS, Sizes
from generation.errors import ModelUnavailable
from generation.families import FAMILIES, flux1
from generation.kinds import ImageToImage, Kind, TextToImage
from tests.generation.engines import SmallDevice, ignore, new_engine, pixels, same
from tests.samples import opened


class Stripes:
    """A throw-away family: a stripe for each letter of the prompt, brighter with every step."""

    def __init__(self, options):
        self.options = options
        self.encoder, self.denoiser = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        self.step = 0

    @staticmethod
    def read_sizes(folder, precision, transformer):
        return Sizes(1, 1, 1)

    @classmethod
    def load(cls, folder, options):
        return cls(options)

    @property
    def parts(self):
        return {self.encoder: "text", self.denoiser: "denoiser"}

    @property
    def loaded(self):
        return {self.options.name: 16}

    def prepare(self, request, open):
        return Call(None, (self.denoiser,))

    def text_variant(self, request):
        return ""

    def encode(self, prompt):
        return Embeddings({"letters": torch.tensor([float(ord(letter)) for letter in prompt])})

    def denoise(self, call, request, prompt, negative_prompt, pictures, step_done):
        letters = prompt.tensors["letters"]
        for self.step in range(1, request.num_inference_steps + 1):
            call.denoisers[0](torch.zeros(1))
            step_done(self.step, letters)
        return letters

    def decode(self, latents, request, *, is_tiled):
        stripes = Image.new("RGB", (len(latents), 1))
        stripes.putdata([(int(letter) % 256, 0, self.step) for letter in latents])
        return stripes.resize((request.width, request.height), Image.Resampling.NEAREST)

    def preview(self, request):
        return torch.full((4, 4, 3), 20 * self.step, dtype=torch.uint8)


@pytest.fixture
def stripes(tmp_path, monkeypatch):
    """Folder of a model of the throw-away family, which has its line in the table."""
    monkeypatch.setitem(FAMILIES, "StripesPipeline", f"{__name__}:Stripes")
    index = {"_class_name": "StripesPipeline"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    return tmp_path


@pytest.mark.parametrize("level", OFFLOAD_LEVELS[:3])
def test_a_family_is_one_class_and_one_line_in_the_table(stripes, fox, level):
    device = SmallDevice()
    engine = DiffusionEngine(
        str(stripes), choose_device=lambda *asked: device, offload_level=level, threads=1
    )
    engine.load()
    steps = []

    result = engine.generate(fox, steps.append)

    assert result.image.size == (fox.width, fox.height)
    assert pixels(result)[0, 0].tolist() == [ord("a"), 0, fox.num_inference_steps]
    previews = [opened(step.preview).getpixel((0, 0)) for step in steps]
    assert [(step.number, previews[step.number - 1]) for step in steps] == [
        (1, (20, 20, 20)), (2, (40, 40, 40)), (3, (60, 60, 60)),
    ]  # fmt: skip
    assert engine.loaded == {str(stripes): 16}
    assert engine.current_offload_level == level


def test_a_family_gets_the_retreat_from_full_memory_for_nothing(stripes, fox, monkeypatch):
    device = SmallDevice()
    engine = DiffusionEngine(str(stripes), choose_device=lambda *asked: device, threads=1)
    engine.load()
    decode, failures = Stripes.decode, [torch.OutOfMemoryError("CUDA out of memory")] * 2

    def decode_with_little_memory(self, latents, request, *, is_tiled):
        if failures:
            raise failures.pop()
        return decode(self, latents, request, is_tiled=is_tiled)

    monkeypatch.setattr(Stripes, "decode", decode_with_little_memory)
    steps = []

    engine.generate(fox, steps.append)

    told = [step.note or step.number for step in steps]
    assert told == [1, 2, 3, "short of memory; trying again in smaller parts", 1, 2, 3]
    assert engine.current_offload_level == "text-offload"


def test_a_model_of_no_known_family_is_refused_by_name(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "SanaPipeline"}')

    with pytest.raises(ModelUnavailable, match=r"neither of FLUX\.1's.*says SanaPipeline"):
        DiffusionEngine(str(tmp_path), device="cpu").load()


def test_a_refusal_is_not_taken_for_damage(tmp_path, monkeypatch):
    """Comparing 34 GB with their checksums would take minutes, and mend nothing."""
    (tmp_path / "model_index.json").write_text('{"_class_name": "SanaPipeline"}')

    def remove_damaged(folder):
        raise AssertionError("it was checked")

    monkeypatch.setattr("generation.weights.remove_damaged", remove_damaged)
    with pytest.raises(ModelUnavailable, match="SanaPipeline"):
        DiffusionEngine(str(tmp_path), device="cpu").load()


def test_a_family_is_imported_when_one_of_its_models_is_loaded():
    code = (
        "import sys, generation.diffusion.engine;"
        "sys.exit('generation.families.flux1' in sys.modules)"
    )
    root = Path(__file__).parents[3]

    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Retold(Kind):
    """A throw-away kind: a picture drawn over by half, whoever asks."""

    name: ClassVar[str] = "retold"
    label: ClassVar[str] = "retelling"
    pictures: ClassVar[tuple[str, ...]] = ("original",)


@pytest.fixture
def retold(fox, square):
    return replace(fox, kind=Retold(), pictures={"original": square})


def test_a_kind_is_one_class_and_one_drawing_function(tiny, fox, square, retold, monkeypatch):
    def retelling(model, kind, open):
        pipe = model.image_to_image
        return Call(pipe, (pipe.transformer,), {"strength": 0.5}, {"original": "image"})

    monkeypatch.setitem(flux1.DRAWING, Retold, retelling)
    engine = new_engine(tiny)
    engine.load()

    drawn = engine.generate(retold, ignore)

    by_half = replace(fox, kind=ImageToImage(strength=0.5), pictures={"control_image": square})
    assert same(drawn, engine.generate(by_half, ignore))
    assert not same(drawn, engine.generate(replace(fox, kind=TextToImage()), ignore))
    assert drawn.control_map is None


def test_a_kind_that_a_family_does_not_draw_is_refused_in_words(tiny, retold):
    engine = new_engine(tiny)
    engine.load()

    with pytest.raises(ModelUnavailable, match="draws no picture with retelling"):
        engine.generate(retold, ignore)
