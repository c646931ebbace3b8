"""An engine whose mood its prompts tell; a child or a node imports nothing of the bot for it."""

from generation.errors import EngineLost, GenerationError
from generation.stub import StubEngine


class MoodyEngine(StubEngine):
    """Fails, or dies, where the prompt says so; one that falters does so over one picture of
    three."""

    def generate(self, request, on_step):
        if "fails" in request.prompt:
            raise GenerationError("this one fails")
        if "dies" in request.prompt or ("falters" in request.prompt and request.seed % 3 == 0):
            raise EngineLost("this one dies")
        return super().generate(request, on_step)
