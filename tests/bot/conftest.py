from bot.commands import ImagineCommand
from tests.conftest import ADA

CIRCLE = ImagineCommand("a red circle", num_inference_steps=3, width=64, height=64, seed=7)


async def left(service, user=ADA):
    return (await service.quota(user)).left
