import gc

import pytest

from bot.config import load_config
from tests.conftest import Bot
from tests.test_architecture import ROOT


@pytest.fixture(scope="session", autouse=True)
def what_is_imported_stays():
    """Else each test's look for lost exceptions walks through all modules again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def demo(tmp_path, clock):
    """A bot on the demo model, with the presets that ship."""
    import torch

    from generation.diffusion.engine import DiffusionEngine

    torch.set_num_threads(1)
    presets = dict(load_config(ROOT / "config.toml").presets)
    engine = DiffusionEngine("demo", download_dir=tmp_path, device="cpu", max_sequence_length=64)
    bot = Bot(tmp_path, engine, clock, presets=presets)
    await bot.start()
    yield bot
    await bot.stop()
