import pytest

from generation.types import GenerationRequest

FOX = GenerationRequest(
    prompt="a red fox",
    num_inference_steps=3,
    guidance_scale=3.5,
    width=64,
    height=64,
    seed=7,
)


@pytest.fixture
def fox():
    return FOX


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
