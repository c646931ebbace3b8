"""Float8 layers that are given the same tensor, in the code that torch's compiler makes of them."""

import re
import shutil

import pytest
import torch
from torch._inductor import config
from torch._inductor.utils import run_and_get_code

from generation.diffusion.repetitions import drop_repetitions
from tests.generation.engines import in_float8

pytest.importorskip("torchao")

SIDE = 32
#: An allocation of float8, as torch writes it.
STORED = re.compile(r"empty_strided_cpu\(.*float8_e4m3fn\)")


class Attending(torch.nn.Module):
    """A norm, and three layers that read it."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(SIDE, elementwise_affine=False)
        layers = [torch.nn.Linear(SIDE, SIDE, dtype=torch.bfloat16) for _ in range(3)]
        self.layers = torch.nn.ModuleList([in_float8(layer) for layer in layers])

    def forward(self, hidden_states):
        hidden_states = self.norm(hidden_states)
        query, key, value = [layer(hidden_states) for layer in self.layers]
        return query * key + value


@pytest.fixture
def options():
    torch._dynamo.reset()
    before = config.post_grad_custom_pre_pass
    yield
    config.post_grad_custom_pre_pass = before
    torch._dynamo.reset()


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ makes machine code, and is not here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about itself
def test_what_several_layers_are_given_is_quantized_and_stored_once(options):
    torch.manual_seed(0)
    block = Attending()
    given = torch.randn(1, 24, SIDE, dtype=torch.bfloat16)
    drop_repetitions()

    with torch.no_grad(), config.patch(fx_graph_cache=False):
        plain = block(given)
        compiled, (code,) = run_and_get_code(torch.compile(block, dynamic=True), given)

    assert len(STORED.findall(code)) == 1
    # The norm is rounded elsewhere, after which some values fall into the next step of float8.
    assert (compiled - plain).abs().mean() <= 0.03 * plain.abs().mean()
