"""Names of layers in the files of those who train LoRAs, as far as FLUX's families share them.

Black Forest Labs' own code and diffusers name the layers differently, and cut them differently:
one matrix for queries, keys and values there is three here. Trainers write either, with dots or
underscores and a prefix of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from generation.diffusion.lora_layout import Place, Rows

#: Layers by BFL's name, diffusers' names, and how the rows are cut.
Table = tuple[tuple[str, tuple[str, ...], tuple[Rows, ...]], ...]
#: The same by one name, with underscores for dots.
Flat = Mapping[str, tuple[tuple[str, Rows], ...]]


def whole(rows: int, columns: int) -> tuple[slice, ...]:
    """All rows."""
    return (slice(0, rows),)


def swapped(rows: int, columns: int) -> tuple[slice, ...]:
    """The second half before the first: BFL's last norm makes shift and scale, diffusers' scale
    and shift."""
    return (slice(rows // 2, rows), slice(0, rows // 2))


def third(number: int) -> Rows:
    """A third of the rows: queries, keys or values, from 0."""

    def rows_of(rows: int, columns: int) -> tuple[slice, ...]:
        return (slice(rows * number // 3, rows * (number + 1) // 3),)

    return rows_of


#: What is fused in BFL's names.
QKV = tuple(third(number) for number in range(3))

#: What trainers put before the names of layers, with underscores for dots.
OF_TRANSFORMER = re.compile(
    r"(?:base_model_model_|model_diffusion_model_|diffusion_model_|lora_unet_|lora_transformer_"
    r"|lycoris_|unet_|transformer_(?!blocks_))*"
)

#: Names that only layers of families have which are none of FLUX's, and the family in words.
OTHERS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"(down|up)_blocks_|mid_block_|(in|out)put_blocks_|middle_block_"),
        "Stable Diffusion 1.5, 2 or XL",
    ),
    (re.compile(r"joint_blocks_|attn2_to_out|pos_embed_proj"), "Stable Diffusion 3"),
    (re.compile(r"transformer_blocks_\d+_(img|txt)_m(lp|od)_"), "Qwen-Image"),
    (re.compile(r"(noise|context)_refiner_|(^|_)layers_\d+_attention_"), "Z-Image or Lumina"),
    (re.compile(r"(^|_)blocks_\d+_(self_attn|cross_attn|ffn)_"), "Wan"),
    (re.compile(r"double_stream_blocks_|caption_projection_"), "HiDream"),
    (re.compile(r"distilled_guidance_layer"), "Chroma"),
)


@dataclass(frozen=True, slots=True)
class TransformerNames:
    """The names that the layers of a transformer go by.

    Attributes:
        blocks: For each spelling: what stands before a block's number, the same in diffusers, and
            the layers of such a block.
        outside: Layers outside of blocks.
    """

    blocks: tuple[tuple[str, str, Flat], ...]
    outside: Flat

    @classmethod
    def of(
        cls,
        double: Table,
        single: Table,
        outside: Table,
        more_double: Table = (),
        more_single: Table = (),
    ) -> TransformerNames:
        """Names by tables of double-stream and single-stream blocks.

        Args:
            more_double: Layers that hang on blocks under BFL's names alone, like *more_single*.
        """
        names = (
            ("double_blocks", "transformer_blocks", _by_bfl(double, more_double)),
            ("single_blocks", "single_transformer_blocks", _by_bfl(single, more_single)),
            ("transformer_blocks", "transformer_blocks", _by_diffusers(double)),
            ("single_transformer_blocks", "single_transformer_blocks", _by_diffusers(single)),
        )
        return cls(names, {**_by_bfl(outside), **_by_diffusers(outside)})

    def places(self, name: str) -> tuple[Place, ...]:
        """Where the matrix of the layer *name* belongs, with dots or underscores; none if
        nowhere."""
        flat = name.replace(".", "_")
        start = OF_TRANSFORMER.match(flat)
        flat = flat[start.end() if start else 0 :]
        for stem, block, table in self.blocks:
            if found := re.fullmatch(rf"{stem}_(\d+)_(.+)", flat):
                return tuple(
                    Place("transformer", f"{block}.{found[1]}.{module}", rows)
                    for module, rows in table.get(found[2], ())
                )
        return tuple(
            Place("transformer", module, rows) for module, rows in self.outside.get(flat, ())
        )


def told_by(names: Iterable[str], others: Iterable[tuple[re.Pattern[str], str]]) -> str | None:
    """The family among *others*, in words, that a layer of *names* belongs to; None where none
    tells."""
    others = tuple(others)
    for name in names:
        flat = name.replace(".", "_")
        for pattern, family in others:
            if pattern.search(flat):
                return family
    return None


def _by_bfl(*tables: Table) -> Flat:
    """Layers of *tables* by BFL's names with underscores."""
    return {
        bfl.replace(".", "_"): tuple(zip(modules, rows, strict=True))
        for table in tables
        for bfl, modules, rows in table
    }


def _by_diffusers(table: Table) -> Flat:
    """The same by diffusers' names, each of which is one whole layer."""
    return {
        module.replace(".", "_"): ((module, whole),)
        for _, modules, _ in table
        for module in modules
    }
