"""The parts of a FLUX pipeline, as genuine diffusers and transformers classes, at any width.

FLUX.1-dev's plan throughout: a double-stream then single-stream transformer with guidance
embedding, T5 for the words, CLIP for the pooled meaning, a VAE of 16 channels at one eighth of
the size, latents packed two by two. Only the numbers in `Widths` are smaller.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxControlNetModel,
    FluxPipeline,
    FluxTransformer2DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerBase,
    T5Config,
    T5EncoderModel,
)

from generation.demo.tokenization import clip_tokenizer, t5_tokenizer

LATENT_CHANNELS = 16
PACKED_CHANNELS = 4 * LATENT_CHANNELS
PIXELS_PER_TOKEN = 16


@dataclass(frozen=True)
class Widths:
    """Width and depth of each part.

    Attributes:
        heads: Attention heads of the transformer, each `sum(rope_axes)` channels wide.
        rope_axes: Channels that encode (text, row, column) position; all even.
        double_blocks: Blocks with separate image and text streams.
        single_blocks: Blocks over the joined stream.
        text: Channels of the T5 encoder.
        pooled: Channels of the CLIP encoder.
        text_layers: Layers of either encoder.
        vae: Channels of the VAE at full, half, quarter and eighth size.
        controlnet_blocks: Double-stream blocks of a ControlNet.
        controlnet_single_blocks: Its blocks over the joined stream.
    """

    heads: int = 5
    rope_axes: tuple[int, int, int] = (8, 12, 12)
    double_blocks: int = 2
    single_blocks: int = 3
    text: int = 128
    pooled: int = 128
    text_layers: int = 2
    vae: tuple[int, int, int, int] = (16, 32, 64, 64)
    controlnet_blocks: int = 1
    controlnet_single_blocks: int = 1


DEMO = Widths()
TINY = Widths(
    heads=2,
    rope_axes=(4, 6, 6),
    double_blocks=1,
    single_blocks=1,
    text=32,
    pooled=32,
    text_layers=1,
    vae=(8, 8, 8, 8),
    controlnet_blocks=1,
    controlnet_single_blocks=0,
)


def clip_encoder(widths: Widths, tokenizer: PreTrainedTokenizerBase) -> CLIPTextModel:
    """The encoder whose pooled output, (batch, widths.pooled), conditions every block.

    An `eos_token_id` of exactly 2 would select an old way of pooling, hence the tokenizer's own.
    """
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=widths.pooled,
            intermediate_size=2 * widths.pooled,
            projection_dim=widths.pooled,
            num_hidden_layers=widths.text_layers,
            num_attention_heads=widths.pooled // 16,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    ).eval()


def t5_encoder(widths: Widths, tokenizer: PreTrainedTokenizerBase) -> T5EncoderModel:
    """The encoder whose output, (batch, tokens, widths.text), joins the image tokens."""
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=widths.text,
            d_kv=16,
            d_ff=2 * widths.text,
            num_layers=widths.text_layers,
            num_heads=widths.text // 16,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            is_encoder_decoder=False,
            use_cache=False,
            tie_word_embeddings=False,
        )
    ).eval()


def transformer(widths: Widths) -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=PACKED_CHANNELS,
        num_layers=widths.double_blocks,
        num_single_layers=widths.single_blocks,
        attention_head_dim=sum(widths.rope_axes),
        num_attention_heads=widths.heads,
        joint_attention_dim=widths.text,
        pooled_projection_dim=widths.pooled,
        guidance_embeds=True,
        axes_dims_rope=widths.rope_axes,
    ).eval()


def autoencoder(widths: Widths) -> AutoencoderKL:
    """A VAE without attention. One norm group: with narrow layers more groups train badly."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=list(widths.vae),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,
        sample_size=128,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    ).eval()


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    """FLUX.1-dev's scheduler and its settings."""
    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000,
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )


def pipeline(widths: Widths, words: Iterable[str]) -> FluxPipeline:
    """A whole FLUX pipeline with random weights, whose tokenizers know `words`."""
    words = list(words)
    clip_words, t5_words = clip_tokenizer(words), t5_tokenizer(words)
    return FluxPipeline(
        scheduler=scheduler(),
        vae=autoencoder(widths),
        text_encoder=clip_encoder(widths, clip_words),
        tokenizer=clip_words,
        text_encoder_2=t5_encoder(widths, t5_words),
        tokenizer_2=t5_words,
        transformer=transformer(widths),
    )


def controlnet(base: FluxTransformer2DModel, widths: Widths) -> FluxControlNetModel:
    """A ControlNet with as many blocks as `widths` says, its shared parts copied from `base`.

    Its output layers start at zero, so at first it changes nothing.
    """
    blocks = (widths.controlnet_blocks, widths.controlnet_single_blocks)
    config = {**base.config, "num_layers": blocks[0], "num_single_layers": blocks[1]}
    config.pop("out_channels", None)
    copy = FluxControlNetModel.from_config(config)
    own = copy.state_dict()
    shared = {
        name: weight
        for name, weight in base.state_dict().items()
        if name in own and own[name].shape == weight.shape
    }
    copy.load_state_dict(shared, strict=False)
    return copy.eval()


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Tokens, (batch, rows/2 * columns/2, 64), of (batch, 16, rows, columns) of latents."""
    batch, channels, rows, columns = latents.shape
    packed: torch.Tensor = FluxPipeline._pack_latents(latents, batch, channels, rows, columns)
    return packed


def unpack(tokens: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Latents, (batch, 16, rows, columns), from the tokens that `pack` made of them."""
    latents: torch.Tensor = FluxPipeline._unpack_latents(tokens, 8 * rows, 8 * columns, 8)
    return latents


def image_ids(rows: int, columns: int) -> torch.Tensor:
    """The (rows * columns, 3) positions of a picture's tokens, as the pipeline makes them."""
    make_ids = FluxPipeline._prepare_latent_image_ids
    ids: torch.Tensor = make_ids(1, rows, columns, "cpu", torch.float32)
    return ids
