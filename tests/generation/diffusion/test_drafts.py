"""The noise of drafts."""

import pytest
import torch

from generation.diffusion.drafts import reduced_noise


def noise(height, width):
    return torch.randn((1, 16, height, width), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_draft_has_the_coarse_parts_of_the_final_noise_and_their_variance(times):
    final = noise(64, 48)

    draft = reduced_noise(final, 64 // times, 48 // times)

    assert draft.shape == (1, 16, 64 // times, 48 // times)
    assert draft.var().item() == pytest.approx(1, abs=0.05)
    for row, column in ((0, 0), (3, 5)):
        square = final[..., row * times : (row + 1) * times, column * times : (column + 1) * times]
        assert torch.allclose(draft[..., row, column], square.sum((-2, -1)) / times, atol=1e-5)
    assert times > 1 or torch.equal(draft, final)


def test_what_does_not_fit_is_left_out_at_both_edges():
    final = noise(22, 18)

    draft = reduced_noise(final, 10, 8)

    assert torch.equal(draft, reduced_noise(final[..., 1:21, 1:17], 10, 8))
    assert reduced_noise(final.to(torch.bfloat16), 10, 8).dtype is torch.bfloat16
