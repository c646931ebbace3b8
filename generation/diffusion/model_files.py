"""The files of a model: its folder, and the file of a transformer that stands in for its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from generation import weights
from generation.diffusion import memory, weight_files
from generation.diffusion.family import Family
from generation.diffusion.quantization import Precision
from generation.families import family_of
from generation.wanted import WeightsRole


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where the weights of a model lie on this machine.

    Attributes:
        folder: In diffusers' format.
        transformer: File or folder of the transformer, where it does not come from there.
    """

    folder: Path
    transformer: Path | None = None

    @property
    def family(self) -> Family:
        """The family that draws with it.

        Raises:
            ModelUnavailable: There is none; with the way out.
        """
        return family_of(self.folder, has_own_transformer=self.transformer is None)

    @property
    def parameters(self) -> int:
        """Parameters of all parts together."""
        own = memory.parameters(self.folder)
        return own if self.transformer is None else own + weight_files.parameters(self.transformer)

    @property
    def layers(self) -> list[tuple[int, ...]]:
        """Shapes of the transformer's weights."""
        if self.transformer is None:
            return list(memory.shapes(self.folder / "transformer").values())
        return weight_files.shapes(self.transformer)

    def sizes(self, precision: Precision) -> memory.Sizes:
        """Sizes of the parts in these number formats."""
        return self.family.read_sizes(self.folder, precision, self.transformer)


def role(transformer: str | None) -> WeightsRole:
    """What is wanted of a model's repository beside *transformer*."""
    return "pipeline" if transformer is None else "base"


def local_files(
    repository: str, revision: str | None, transformer: str | None, download_dir: Path
) -> ModelFiles | None:
    """The files of a model that is here and complete; never downloads."""
    folder = weights.local_folder(repository, role(transformer), download_dir, revision)
    if folder is None or transformer is None:
        return None if folder is None else ModelFiles(folder)
    found = weights.local_folder(transformer, "transformer", download_dir)
    return None if found is None else ModelFiles(folder, found)
