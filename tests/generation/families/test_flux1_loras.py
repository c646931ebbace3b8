"""LoRA files as their trainers write them, judged by the same changes merged into the weights by
hand. The names here are written out, so that they do not come from the tables under test."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from generation.diffusion.lora_layout import highest_rank
from generation.diffusion.loras import layers_of
from generation.errors import InvalidRequest, ModelUnavailable
from generation.kinds import ControlLora
from generation.types import Lora
from tests.generation.engines import alike, ignore, model, new_engine, same

WIDTH, MLP, RANK = 32, 128, 2
Q, K, V = (f"transformer_blocks.0.attn.to_{name}" for name in "qkv")
OUT = "transformer_blocks.0.attn.to_out.0"
SINGLE = "single_transformer_blocks.0"
CLIP = "text_encoder:encoder.layers.0.mlp.fc1"
T5 = "text_encoder_2:encoder.block.0.layer.0.SelfAttention.q"


@pytest.fixture(scope="module")
def engine(tiny):
    engine = new_engine(tiny)
    engine.load()
    yield engine
    engine.close()


class Written:
    """A LoRA file that is being written, and what it does to each layer."""

    def __init__(self):
        self.tensors, self.deltas, self.metadata = {}, {}, None
        self.dice = torch.Generator().manual_seed(5)

    def random(self, *shape):
        return torch.randn(shape, generator=self.dice) / 3

    def pair(self, down, up, columns, rows, rank=RANK):
        """Put two matrices under these names; returns what they make."""
        self.tensors[down], self.tensors[up] = self.random(rank, columns), self.random(rows, rank)
        return self.tensors[up] @ self.tensors[down]

    def does(self, delta, *modules, rows=(WIDTH, WIDTH, WIDTH, MLP)):
        """*delta* is the change of *modules*, one below the other."""
        parts = delta.split(rows[: len(modules)]) if len(modules) > 1 else [delta]
        self.deltas |= dict(zip(modules, parts, strict=True))


def diffusers():
    written = Written()
    for module, columns, rows in (
        (Q, 32, 32),
        (f"{SINGLE}.proj_out", 160, 32),
        ("proj_out", 32, 64),
    ):
        name = f"transformer.{module}"
        # Of another rank each, and "proj_out" is no end of the other name.
        rank = 1 + len(written.deltas)
        written.does(
            written.pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight", columns, rows, rank),
            module,
        )
    name = "text_encoder.text_model.encoder.layers.0.mlp.fc1"
    written.does(written.pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight", 32, 64), CLIP)
    return written


def metadata(**config):
    written = Written()
    name = f"transformer.{Q}"
    delta = written.pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight", 32, 32)
    config = {f"transformer.{key}": value for key, value in config.items()}
    written.metadata = {
        "lora_adapter_metadata": json.dumps({**config, "text_encoder.lora_alpha": 9})
    }
    return written, delta


def diffusers_with_alpha_in_its_metadata():
    written, delta = metadata(r=RANK, lora_alpha=8)
    written.does(4 * delta, Q)
    return written


def rank_stabilized():
    written, delta = metadata(r=RANK, lora_alpha=4, use_rslora=True, alpha_pattern={"to_q": 6})
    written.does(6 / RANK**0.5 * delta, Q)
    return written


def kohya(prefix="lora_unet_", dot="_", down="lora_down", up="lora_up", alpha=1.0):
    written = Written()

    def layer(name, columns, rows, *modules):
        name = prefix + name.replace(".", dot)
        delta = written.pair(f"{name}.{down}.weight", f"{name}.{up}.weight", columns, rows)
        if alpha is not None:
            written.tensors[f"{name}.alpha"] = torch.tensor(alpha)
            delta = delta * (alpha / RANK)
        if name.endswith(("modulation.1", "modulation_1")):
            delta = torch.cat([delta[rows // 2 :], delta[: rows // 2]])  # shift and scale
        written.does(delta, *modules)

    layer("double_blocks.0.img_attn.qkv", 32, 96, Q, K, V)
    layer("double_blocks.0.txt_attn.qkv", 32, 96,
          *(f"transformer_blocks.0.attn.add_{name}_proj" for name in "qkv"))  # fmt: skip
    layer("double_blocks.0.img_attn.proj", 32, 32, OUT)
    layer("double_blocks.0.txt_mlp.2", 128, 32, "transformer_blocks.0.ff_context.net.2")
    layer("double_blocks.0.img_mod.lin", 32, 192, "transformer_blocks.0.norm1.linear")
    layer("single_blocks.0.linear1", 32, 224,
          *(f"{SINGLE}.attn.to_{name}" for name in "qkv"), f"{SINGLE}.proj_mlp")  # fmt: skip
    layer("single_blocks.0.linear2", 160, 32, f"{SINGLE}.proj_out")
    layer("single_blocks.0.modulation.lin", 32, 96, f"{SINGLE}.norm.linear")
    layer("img_in", 64, 32, "x_embedder")
    layer("time_in.in_layer", 256, 32, "time_text_embed.timestep_embedder.linear_1")
    layer("guidance_in.out_layer", 32, 32, "time_text_embed.guidance_embedder.linear_2")
    layer("vector_in.in_layer", 32, 32, "time_text_embed.text_embedder.linear_1")
    layer("final_layer.linear", 32, 64, "proj_out")
    layer("final_layer.adaLN_modulation.1", 32, 64, "norm_out.linear")
    return written


def kohya_with_text_encoders():
    written = Written()
    for name, rows, module in (
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", 64, CLIP),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q", 32, T5),
    ):
        delta = written.pair(f"{name}.lora_down.weight", f"{name}.lora_up.weight", 32, rows)
        written.tensors[f"{name}.alpha"] = torch.tensor(4.0)
        written.does(2 * delta, module)
    return written


def kohya_that_trained_q_k_and_v_apart():
    """Fused when it was saved: three ranks side by side, which meet nowhere."""
    written = Written()
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    ups = [written.random(WIDTH, RANK) for _ in range(3)]
    written.tensors[f"{name}.lora_down.weight"] = written.random(3 * RANK, WIDTH)
    written.tensors[f"{name}.lora_up.weight"] = torch.block_diag(*ups)
    written.tensors[f"{name}.alpha"] = torch.tensor(3.0)
    delta = torch.block_diag(*ups) @ written.tensors[f"{name}.lora_down.weight"]
    written.does(delta / 2, Q, K, V)
    return written


def xlabs():
    written = Written()
    for name, columns, rows, modules in (
        ("double_blocks.0.processor.qkv_lora1", 32, 96, (Q, K, V)),
        ("double_blocks.0.processor.proj_lora2", 32, 32, ("transformer_blocks.0.attn.to_add_out",)),
        ("single_blocks.0.processor.qkv_lora", 32, 96,
         tuple(f"{SINGLE}.attn.to_{name}" for name in "qkv")),
        ("single_blocks.0.processor.proj_lora", 160, 32, (f"{SINGLE}.proj_out",)),
    ):  # fmt: skip
        delta = written.pair(f"{name}.down.weight", f"{name}.up.weight", columns, rows)
        written.does(delta, *modules)
    return written


def onetrainer():
    written = Written()
    for name, columns, rows, module in (
        ("lora_transformer_transformer_blocks_0_attn_to_out_0", 32, 32, OUT),
        ("lora_transformer_single_transformer_blocks_0_proj_mlp", 32, 128, f"{SINGLE}.proj_mlp"),
        ("lora_transformer_norm_out_linear", 32, 64, "norm_out.linear"),
        ("lora_te2_encoder_block_0_layer_0_SelfAttention_q", 32, 32, T5),
    ):
        delta = written.pair(f"{name}.lora_down.weight", f"{name}.lora_up.weight", columns, rows)
        written.tensors[f"{name}.alpha"] = torch.tensor(1.0)
        written.does(delta / RANK, module)
    return written


def loha():
    written = Written()
    name = "lycoris_single_transformer_blocks_0_proj_mlp"
    matrices = []
    for number in (1, 2):
        a, b = f"{name}.hada_w{number}_a", f"{name}.hada_w{number}_b"
        matrices.append(written.pair(b, a, 32, 128))
    written.tensors[f"{name}.alpha"] = torch.tensor(1.0)
    written.does(matrices[0] * matrices[1] / RANK, f"{SINGLE}.proj_mlp")
    return written


def lokr():
    written = Written()
    name, whole = "lora_unet_double_blocks_0_img_attn_qkv", "lycoris_transformer_blocks_0_ff_net_2"
    first = written.tensors[f"{name}.lokr_w1"] = written.random(6, 4)
    second = written.pair(f"{name}.lokr_w2_b", f"{name}.lokr_w2_a", 8, 16)
    written.tensors[f"{name}.alpha"] = torch.tensor(1.0)
    written.does(torch.kron(first, second) / RANK, Q, K, V)
    first = written.tensors[f"{whole}.lokr_w1"] = written.random(4, 8)
    second = written.tensors[f"{whole}.lokr_w2"] = written.random(8, 16)
    written.tensors[f"{whole}.alpha"] = torch.tensor(9.0)  # which says nothing here
    written.does(torch.kron(first, second), "transformer_blocks.0.ff.net.2")
    return written


def with_bias():
    written = Written()
    name = f"transformer.{OUT}"
    written.does(written.pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight", 32, 32), OUT)
    written.tensors[f"{name}.alpha"] = torch.tensor(4.0)
    written.tensors[f"{name}.lora_B.bias"] = bias = written.random(32)
    written.deltas = {OUT: 2 * written.deltas[OUT], f"{OUT}.bias": 2 * bias}
    return written


FORMATS = {
    "diffusers": diffusers,
    "diffusers, metadata": diffusers_with_alpha_in_its_metadata,
    "rank-stabilized": rank_stabilized,
    "kohya": kohya,
    "kohya, no alpha": lambda: kohya(alpha=None),
    "kohya, text encoders": kohya_with_text_encoders,
    "kohya, block-diagonal": kohya_that_trained_q_k_and_v_apart,
    "ComfyUI": lambda: kohya("diffusion_model.", ".", alpha=4.0),
    "ai-toolkit": lambda: kohya("diffusion_model.", ".", "lora_A", "lora_B", None),
    "BFL": lambda: kohya("", ".", "lora_A", "lora_B", None),
    "fal": lambda: kohya("base_model.model.", ".", "lora_A", "lora_B", None),
    "XLabs": xlabs,
    "OneTrainer": onetrainer,
    "LoHa": loha,
    "LoKr": lokr,
    "biases": with_bias,
}


def opened(name, role, load):
    return load(Path(name))


def outputs(parts):
    """What each part makes of the same random inputs."""
    dice = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 20, (1, 8), generator=dice)

    def random(*shape):
        return torch.randn(shape, generator=dice)

    with torch.no_grad():
        velocity = parts["transformer"](
            hidden_states=random(1, 16, 64),
            encoder_hidden_states=random(1, 8, WIDTH),
            pooled_projections=random(1, WIDTH),
            timestep=torch.tensor([0.5]),
            guidance=torch.tensor([3.5]),
            img_ids=torch.zeros(16, 3),
            txt_ids=torch.zeros(8, 3),
            return_dict=False,
        )[0]
        return {
            "transformer": velocity,
            "text_encoder": parts["text_encoder"](ids).last_hidden_state,
            "text_encoder_2": parts["text_encoder_2"](ids).last_hidden_state,
        }


def merged(parts, deltas, scale):
    """*parts* with *deltas* times *scale* in their weights."""
    parts = copy.deepcopy(parts)
    for key, delta in deltas.items():
        part, _, module = key.rpartition(":")
        module = module.removesuffix(".bias")
        layer = parts[part or "transformer"].get_submodule(module)
        weight = layer.bias if key.endswith(".bias") else layer.weight
        weight.data += scale * delta
    return parts


@pytest.mark.parametrize("scale", [1.0, -1.5])
@pytest.mark.parametrize("name", FORMATS)
def test_a_lora_does_what_its_trainer_meant(engine, tmp_path, name, scale):
    """Also below 0, as sliders are used."""
    written, file = FORMATS[name](), tmp_path / "lora.safetensors"
    save_file(written.tensors, file, written.metadata)
    loras, parts = model(engine).loras, model(engine).changed_by_loras
    loras.use({}, opened)
    plain, expected = outputs(parts), outputs(merged(_bare(parts), written.deltas, scale))

    loras.use({str(file): scale}, opened)

    drawn = outputs(parts)
    for part, output in expected.items():
        assert torch.allclose(drawn[part], output, atol=1e-5, rtol=1e-4)
    changed = {key.rpartition(":")[0] or "transformer" for key in written.deltas}
    assert changed == {part for part in parts if not torch.allclose(drawn[part], plain[part])}
    assert loras.changes_text(str(file)) == (changed != {"transformer"})


def merged_all(parts, written):
    """*parts* with the deltas of all *written*, each times its scale, in their weights."""
    parts = _bare(parts)
    for each, scale in written:
        parts = merged(parts, each.deltas, scale)
    return parts


@pytest.mark.parametrize("is_reversed", [False, True])
def test_several_loras_do_what_their_changes_merged_by_hand_do(engine, tmp_path, is_reversed):
    """One of them changes a text encoder too; two change the same layers, in opposite ways."""
    written = [(diffusers(), 0.8), (kohya(), -1.0), (xlabs(), 0.5), (with_bias(), 1.5)]
    if is_reversed:
        written.reverse()
    scales = {}
    for number, (each, scale) in enumerate(written):
        file = tmp_path / f"{number}.safetensors"
        save_file(each.tensors, file, each.metadata)
        scales[str(file)] = scale
    loras, parts = model(engine).loras, model(engine).changed_by_loras
    loras.use({}, opened)
    plain, expected = outputs(parts), outputs(merged_all(parts, written))

    loras.use(scales, opened)

    drawn = outputs(parts)
    for part, output in expected.items():
        assert torch.allclose(drawn[part], output, atol=1e-5, rtol=1e-4)
    loras.use(dict(list(scales.items())[:1]), opened)
    alone = outputs(merged_all(parts, written[:1]))["transformer"]
    assert torch.allclose(outputs(parts)["transformer"], alone, atol=1e-5, rtol=1e-4)
    loras.use({}, opened)
    assert torch.equal(outputs(parts)["transformer"], plain["transformer"])


def test_a_picture_keeps_all_of_its_loras_in_memory_and_the_next_no_more_than_fit(tiny, tmp_path):
    engine = new_engine(tiny, max_loras=2)
    engine.load()
    names = [str(tmp_path / f"{number}.safetensors") for number in range(4)]
    for name in names:
        save_file(xlabs().tensors, name)
    loras = model(engine).loras

    loras.use(dict.fromkeys(names[:3], 1.0), opened)
    assert list(loras.adapters) == names[:3]
    loras.use({names[2]: 1.0, names[3]: 0.5}, opened)

    assert list(loras.adapters) == names[2:]
    layer = next(layer for _, layer in layers_of(model(engine).text_to_image.transformer))
    assert set(layer.lora_A) == set(loras.adapters.values())
    engine.close()


def test_one_lora_that_fails_refuses_them_all_and_leaves_those_before(tiny, fox, lora, tmp_path):
    engine = new_engine(tiny, max_loras=1)
    engine.load()
    plain = engine.generate(fox, ignore)
    alone = engine.generate(replace(fox, lora=str(lora)), ignore)
    save_file({"lora.weight": torch.ones(1)}, tmp_path / "bad.safetensors")
    asked = tuple(Lora(name="x", lora=str(each)) for each in (lora, tmp_path / "bad.safetensors"))

    with pytest.raises(ModelUnavailable, match=r"bad\.safetensors cannot be used"):
        engine.generate(replace(fox, loras=asked), ignore)

    assert list(model(engine).loras.adapters) == [str(lora)]
    assert same(engine.generate(fox, ignore), plain)
    assert same(engine.generate(replace(fox, loras=asked[:1]), ignore), alone)
    engine.close()


def test_loras_that_are_asked_for_add_to_that_of_the_preset_in_any_order(
    engine, fox, lora, tmp_path
):
    file = tmp_path / "other.safetensors"
    save_file(xlabs().tensors, file)
    mine, other = Lora(name="mine", lora=str(lora)), Lora(name="other", lora=str(file))
    half = replace(mine, lora_scale=0.5)

    def drawn(*loras, **changes):
        return engine.generate(replace(fox, loras=loras, **changes), ignore)

    both = drawn(mine, other)
    assert not same(both, drawn(mine))
    assert not same(both, drawn(other))
    assert same(drawn(other, mine), both)
    assert same(drawn(other, lora=str(lora)), both)
    assert same(drawn(half, other, lora=str(lora), lora_scale=0.5), both)
    assert same(drawn(replace(mine, lora_scale=0.0)), drawn())


def _bare(parts):
    """*parts* as they are without LoRAs."""
    bare = {name: copy.deepcopy(part) for name, part in parts.items()}
    for part in bare.values():
        for name, layer in list(part.named_modules()):
            if hasattr(layer, "base_layer"):
                parent, _, own = name.rpartition(".")
                setattr(part.get_submodule(parent), own, layer.base_layer)
    return bare


@pytest.mark.parametrize(("name", "rank"), [("ai-toolkit", 2), ("LoHa", 4), ("LoKr", 32)])
def test_the_rank_is_known_before_anything_is_loaded(name, rank):
    """LoHa multiplies two ranks; the LoKr has a whole matrix of 4 by 8, and one of 8 by 16."""
    shapes = {key: tuple(each.shape) for key, each in FORMATS[name]().tensors.items()}

    assert highest_rank(shapes) == rank


def test_a_control_lora_under_bfls_names_draws_as_under_diffusers(
    engine, canny, control_lora, tmp_path
):
    """As FLUX.1-Canny-dev-lora is published, whose layers have biases too; here all but one of
    them do without."""
    (own,) = (load_file(file) for file in control_lora.iterdir())
    block, bfl = "transformer.transformer_blocks.0.attn", "double_blocks.0.img_attn"
    bias = torch.linspace(-1, 1, WIDTH)  # a norm would take away what is the same for all
    nothing = torch.zeros(2 * WIDTH, RANK)
    save_file(
        {
            "img_in.lora_A.weight": own["transformer.x_embedder.lora_A.weight"],
            "img_in.lora_B.weight": own["transformer.x_embedder.lora_B.weight"],
            "img_in.lora_B.bias": bias,
            f"{bfl}.qkv.lora_A.weight": own[f"{block}.to_q.lora_A.weight"],
            f"{bfl}.qkv.lora_B.weight": torch.cat([own[f"{block}.to_q.lora_B.weight"], nothing]),
            f"{bfl}.norm.query_norm.scale": own[f"{block}.norm_q.weight"],
        },
        tmp_path / "bfl.safetensors",
    )
    biases = {"transformer.x_embedder.lora_B.bias": bias,
              f"{block}.to_q.lora_B.bias": torch.zeros(WIDTH)}  # fmt: skip
    save_file(own | biases, tmp_path / "own.safetensors")

    drawn = [
        engine.generate(
            replace(canny, kind=ControlLora(control_lora=str(name), preprocessor="canny")), ignore
        )
        for name in (tmp_path / "bfl.safetensors", tmp_path / "own.safetensors", control_lora)
    ]

    assert alike(drawn[0], drawn[1])
    assert not alike(drawn[0], drawn[2])


def test_what_was_trained_apart_keeps_its_small_rank(engine, tmp_path):
    file = tmp_path / "lora.safetensors"
    save_file(kohya_that_trained_q_k_and_v_apart().tensors, file)

    lora = model(engine).loras.read(file)

    assert {change.rank for change in lora.transformer.values()} == {RANK}


def _kohya_and(**tensors):
    return {
        **kohya().tensors,
        **{name.replace("__", "."): tensor for name, tensor in tensors.items()},
    }


def _without(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


REFUSED = {
    "leftovers": (
        _kohya_and(bundle_emb__fox__clip_l=torch.ones(2, 32)),
        "1 of its 43 tensors have no place in this model (bundle_emb.fox.clip_l)",
    ),
    "half a pair": (
        _without(xlabs().tensors, "single_blocks.0.processor.qkv_lora.up.weight"),
        "1 of its 7 tensors have no place in this model (single_blocks.0.processor.qkv_lora.down",
    ),
    "another architecture": (
        {"transformer.some.layer.lora_A.weight": torch.ones(2, 8),
         "transformer.some.layer.lora_B.weight": torch.ones(8, 2)},
        "2 of its 2 tensors have no place",
    ),
    "a layer too many": (
        {f"transformer.transformer_blocks.59.attn.to_q.lora_{name}.weight": tensor
         for name, tensor in (("A", torch.ones(2, 32)), ("B", torch.ones(32, 2)))},
        "transformer.transformer_blocks.59.attn.to_q, which this model does not have",
    ),
    "another width": (
        {f"transformer.{Q}.lora_A.weight": torch.ones(2, 48),
         f"transformer.{Q}.lora_B.weight": torch.ones(48, 2)},
        "changes 48 x 48 weights of transformer.transformer_blocks.0.attn.to_q, which has 32 x 32",
    ),
    "SDXL": (
        {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight":
         torch.ones(2, 64),
         "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_up.weight":
         torch.ones(64, 2)},
        "it is made for Stable Diffusion 1.5, 2 or XL",
    ),
    "FLUX.2": (
        {f"transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj.lora_{name}.weight": tensor
         for name, tensor in (("A", torch.ones(2, 32)), ("B", torch.ones(64, 2)))},
        "it is made for FLUX.2",
    ),
    "DoRA": (
        _kohya_and(lora_unet_double_blocks_0_img_attn_proj__dora_scale=torch.ones(32, 1)),
        "it is a DoRA, which rescales whole weights instead of adding to them: train it",
    ),
    "a LoKr of full rank": (
        {"lora_unet_img_in.lokr_w1": torch.ones(20, 20), "lora_unet_img_in.lokr_w2":
         torch.ones(20, 20)},
        "it is a LoKr or LoHa of rank 400, and at most 256 can be added",
    ),
    "a checkpoint": (
        {"double_blocks.0.img_attn.qkv.weight": torch.ones(96, 32)},
        "it is a whole model: name it as model.transformer",
    ),
    "a Control LoRA": (
        {"transformer.x_embedder.lora_A.weight": torch.ones(2, 128),
         "transformer.x_embedder.lora_B.weight": torch.ones(32, 2)},
        "name it as control_lora",
    ),
    "the same twice": (
        {f"{name}.lora_{letter}.weight": torch.ones(shape)
         for name in (f"transformer.{OUT}", "double_blocks.0.img_attn.proj")
         for letter, shape in (("A", (2, 32)), ("B", (32, 2)))},
        "it changes transformer.transformer_blocks.0.attn.to_out.0 twice",
    ),
    "no numbers": (
        {f"transformer.{Q}.lora_A.weight": torch.full((2, 32), torch.nan),
         f"transformer.{Q}.lora_B.weight": torch.ones(32, 2)},
        "holds values that are no numbers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_lora_is_taken_up_whole_or_refused(engine, tmp_path, caplog, name):
    tensors, sentence = REFUSED[name]
    file = tmp_path / "lora.safetensors"
    save_file(tensors, file)
    loras = model(engine).loras
    kept = dict(loras.adapters)

    with pytest.raises(ModelUnavailable) as raised:
        loras.use({str(file): 1.0}, opened)

    assert sentence in str(raised.value)
    assert str(raised.value).startswith("lora.safetensors cannot be used: ")
    assert sentence in caplog.text
    assert loras.adapters == kept


def test_a_web_page_in_place_of_a_lora_is_called_one(engine, tmp_path):
    file = tmp_path / "lora.safetensors"
    file.write_text("<!doctype html><title>Just a moment</title>")

    with pytest.raises(ModelUnavailable, match="is a web page and no safetensors file"):
        model(engine).loras.use({str(file): 1.0}, opened)


def test_a_lora_that_failed_leaves_nothing_behind(tiny, fox, lora, tmp_path):
    """Neither a slot, nor a layer."""
    engine = new_engine(tiny, max_loras=1)
    engine.load()
    names = [name for name, _ in model(engine).text_to_image.transformer.named_modules()]
    first = engine.generate(replace(fox, lora=str(lora)), ignore)
    save_file({"lora.weight": torch.ones(1)}, tmp_path / "bad.safetensors")

    with pytest.raises(ModelUnavailable):
        engine.generate(replace(fox, lora=str(tmp_path / "bad.safetensors")), ignore)

    assert list(model(engine).loras.adapters) == [str(lora)]
    assert same(engine.generate(replace(fox, lora=str(lora)), ignore), first)
    model(engine).loras._remove("lora_1")
    assert names == [name for name, _ in model(engine).text_to_image.transformer.named_modules()]
    engine.close()


@pytest.mark.parametrize("scale", [-2, 2])
def test_a_lora_may_do_the_opposite(fox, scale):
    assert replace(fox, lora="lab/slider", lora_scale=scale).lora_scale == scale
    with pytest.raises(InvalidRequest, match="lora_scale must be a number between -2 and 2"):
        replace(fox, lora="lab/slider", lora_scale=scale * 1.01)
