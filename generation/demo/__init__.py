"""The small FLUX model that ships with the project."""

from pathlib import Path

#: A picture for each of its presets, drawn by itself; the chat shows them beside the presets.
SAMPLES = Path(__file__).parent / "samples"
