"""Positions of tokens are computed once for each size, and are what they were."""

from dataclasses import replace

import pytest
import torch
from diffusers import FluxTransformer2DModel

from generation.diffusion.positions import KEPT, keep_positions
from generation.kinds import Upscale
from tests.generation.engines import ignore, model, new_engine


@pytest.fixture(scope="module")
def engine(tiny):
    engine = new_engine(tiny)
    engine.load()
    return engine


@pytest.mark.parametrize("kind", ["words", "negative", "tiles with a ControlNet"])
def test_positions_of_a_picture_are_computed_once_and_not_at_each_step(engine, fox, canny, kind):
    request, computed = {
        "words": (fox, 1),
        "negative": (replace(fox, negative_prompt="blue", true_cfg_scale=3.0), 2),
        "tiles with a ControlNet": (
            replace(
                canny,
                kind=Upscale(tile_size=64, strength=1.0, controlnet=canny.kind.controlnet),
                width=112,
            ),
            2,
        ),
    }[kind]
    engine.generate(canny, ignore)
    parts = [
        model(engine).text_to_image.transformer,
        model(engine).conditioned[canny.kind.controlnet].controlnet,
    ]
    calls = []
    hooks = [
        part.pos_embed.embed.register_forward_hook(lambda *given: calls.append(1)) for part in parts
    ]

    engine.generate(request, ignore)

    for hook in hooks:
        hook.remove()
    assert len(calls) == computed


def test_what_is_kept_is_exactly_what_would_be_computed_and_ids_decide(tiny):
    part = FluxTransformer2DModel.from_pretrained(
        tiny / "flux" / "transformer", local_files_only=True
    )
    plain, seen = part.pos_embed, []
    keep_positions(part)
    part.pos_embed.register_forward_hook(lambda module, args, out: seen.append((args[0], out)))
    given = {
        "hidden_states": torch.zeros(1, 6, 64),
        "encoder_hidden_states": torch.zeros(1, 4, part.config.joint_attention_dim),
        "pooled_projections": torch.zeros(1, part.config.pooled_projection_dim),
        "timestep": torch.ones(1),
        "guidance": torch.ones(1),
        "txt_ids": torch.zeros(4, 3),
    }
    sizes = [torch.cartesian_prod(torch.tensor([0]), torch.arange(a), torch.arange(6 // a)).float()
             for a in (2, 3)]  # fmt: skip

    with torch.no_grad():
        for ids in (*sizes, *sizes, *(ids.clone() for ids in sizes * KEPT)):
            part(**given, img_ids=ids)

    for ids, positions in seen:
        assert all(map(torch.equal, positions, plain(ids)))
    assert seen[2][1] is seen[0][1]
    assert seen[3][1] is not seen[2][1]
    assert len(part.pos_embed._kept) == KEPT
