from dataclasses import replace

import pytest
from PIL import Image

from generation import masks
from generation.kinds import ControlNet, Edit, Inpaint
from generation.types import GenerationRequest
from tests.samples import noise, picture

FOX = GenerationRequest(
    prompt="a red fox",
    num_inference_steps=3,
    guidance_scale=3.5,
    width=64,
    height=64,
    seed=7,
)


@pytest.fixture
def fox():
    return FOX


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folder of a random model in the genuine format: `flux` and `controlnet`."""
    import torch

    from generation.demo import tiny

    # Threads that wait for each other on a busy machine take longer than one alone.
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny")
    tiny.build(folder)
    return folder


@pytest.fixture(scope="session")
def klein(tmp_path_factory):
    """Folder of a random model of FLUX.2-klein's classes, in the genuine format."""
    from generation.demo import tiny_flux2

    folder = tmp_path_factory.mktemp("klein")
    tiny_flux2.build(folder)
    return folder


@pytest.fixture(scope="session")
def square(tmp_path_factory):
    """A clean control image."""
    file = tmp_path_factory.mktemp("control") / "square.png"
    file.write_bytes(picture(96, 64))
    return file


@pytest.fixture
def canny(fox, tiny, square):
    return replace(
        fox,
        kind=ControlNet(
            controlnet=str(tiny / "controlnet"),
            preprocessor="canny",
            controlnet_conditioning_scale=1.0,
        ),
        pictures={"control_image": square},
    )


@pytest.fixture(scope="session")
def lora(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    from diffusers import FluxPipeline
    from peft import LoraConfig

    pipe = FluxPipeline.from_pretrained(tiny / "flux", local_files_only=True)
    pipe.transformer.add_adapter(
        LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"])
    )
    layers = {
        name.removesuffix(".weight").replace(".default", "") + ".weight": weight * 10
        for name, weight in pipe.transformer.state_dict().items()
        if "lora_" in name
    }
    FluxPipeline.save_lora_weights(folder, transformer_lora_layers=layers)
    return folder


@pytest.fixture(scope="session")
def union(tiny, tmp_path_factory):
    """A ControlNet of the Union kind, with 3 modes."""
    import torch
    from diffusers import FluxControlNetModel

    net = FluxControlNetModel.from_pretrained(tiny / "controlnet", local_files_only=True)
    torch.manual_seed(0)
    union = FluxControlNetModel.from_config({**net.config, "num_mode": 3})
    union.load_state_dict(net.state_dict(), strict=False)
    folder = tmp_path_factory.mktemp("union")
    union.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def control_lora(tiny, tmp_path_factory):
    """A Control LoRA in diffusers' format: it widens the first layer, replaces norms, and
    adds to attention."""
    import torch
    from diffusers import FluxTransformer2DModel
    from safetensors.torch import save_file

    transformer = FluxTransformer2DModel.from_pretrained(
        tiny / "flux" / "transformer", local_files_only=True
    )
    width, dice = transformer.inner_dim, torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=dice) / 4

    block = "transformer.transformer_blocks.0"
    weights = {
        "transformer.x_embedder.lora_A.weight": random(2, 128),
        "transformer.x_embedder.lora_B.weight": random(width, 2),
        f"{block}.attn.to_q.lora_A.weight": random(2, width),
        f"{block}.attn.to_q.lora_B.weight": random(width, 2),
        f"{block}.attn.norm_q.weight": random(transformer.config.attention_head_dim) + 1,
    }
    folder = tmp_path_factory.mktemp("control-lora")
    save_file(weights, folder / "pytorch_lora_weights.safetensors")
    return folder


@pytest.fixture(scope="session")
def fill(tiny, tmp_path_factory):
    """The transformer of a random model for filling, in the folder of a pipeline."""
    import torch
    from diffusers import FluxTransformer2DModel

    config = FluxTransformer2DModel.load_config(tiny / "flux" / "transformer")
    torch.manual_seed(1)
    filling = FluxTransformer2DModel.from_config(
        {**config, "in_channels": 384, "out_channels": config["in_channels"]}
    )
    folder = tmp_path_factory.mktemp("fill")
    filling.save_pretrained(folder / "transformer")
    return folder


@pytest.fixture(scope="session")
def kontext(tiny, tmp_path_factory):
    """The transformer of a random model for editing, in the folder of a pipeline."""
    import torch
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(2)
    config = FluxTransformer2DModel.load_config(tiny / "flux" / "transformer")
    folder = tmp_path_factory.mktemp("kontext")
    FluxTransformer2DModel.from_config(config).save_pretrained(folder / "transformer")
    return folder


@pytest.fixture
def edited(fox, square, kontext):
    """A request to change a picture of 96 x 64 pixels."""
    kind = Edit(kontext=str(kontext))
    return replace(fox, width=96, height=64, kind=kind, pictures={"control_image": square})


@pytest.fixture
def masked(fox, tmp_path):
    """A request for a part of a noisy picture of 96 x 64 pixels."""
    mask = Image.new("L", (96, 64))
    mask.paste(255, (20, 10, 70, 50))
    pictures = {name: tmp_path / f"{name}.png" for name in Inpaint.pictures}
    pictures["control_image"].write_bytes(masks.encoded(noise(96, 64)))
    pictures["mask_image"].write_bytes(masks.encoded(mask))
    return replace(fox, width=96, height=64, kind=Inpaint(), pictures=pictures)
