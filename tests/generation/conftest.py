import threading

import pytest

from generation.stub import StubEngine
from generation.types import GenerationRequest

FOX = GenerationRequest(
    prompt="a red fox",
    num_inference_steps=3,
    guidance_scale=3.5,
    width=64,
    height=64,
    seed=7,
)


class Gate(StubEngine):
    """A stub engine that makes one denoising step per `allow()`."""

    def __init__(self):
        super().__init__()
        self.threads = []
        self.drawn = []
        self.is_busy = False
        self.is_closed = False
        self._allowed = threading.Semaphore(0)
        self.waits = threading.Event()

    def allow(self, steps=1):
        self._allowed.release(steps)

    def open(self):
        self.allow(10_000)

    def load(self):
        self.threads.append(threading.current_thread())
        super().load()

    def generate(self, request, on_step):
        self.threads.append(threading.current_thread())
        self.drawn.append(request.prompt)

        def gated(step):
            self.waits.set()
            assert self._allowed.acquire(timeout=20), "the test never allowed this step"
            on_step(step)

        self.is_busy = True
        try:
            return super().generate(request, gated)
        finally:
            self.is_busy = False

    def close(self):
        self.threads.append(threading.current_thread())
        self.is_closed = True
        super().close()


@pytest.fixture
def fox():
    return FOX


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def nothing_lost():
    """The check that all other tests go through costs half a second while torch is loaded.

    Where asyncio takes part, the test file brings its own.
    """


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
