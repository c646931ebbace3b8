"""Kernels for attention."""

import logging
from typing import get_args

import pytest
import torch
from diffusers.models import attention_dispatch

from bot.sections import Model
from generation.diffusion import attention
from generation.diffusion.device import Device
from generation.errors import ModelUnavailable
from tests.generation.engines import ignore, model, new_engine, pixels

CPU = Device(torch.device("cpu"), torch.float32)


def test_the_configuration_knows_the_same_kernels():
    assert get_args(Model.model_fields["attention"].annotation) == get_args(attention.Attention)


def test_a_cpu_attends_by_torchs_own_choice():
    assert attention.choose("auto", CPU) == "native"


def test_cudnns_kernel_is_tried_and_done_without_where_it_fails(monkeypatch, caplog):
    monkeypatch.setattr(attention, "_suits_cudnn", lambda device: True)

    assert attention.choose("auto", CPU) == "native"
    assert "cuDNN's fails" in caplog.text


def test_a_kernel_that_is_not_installed_is_refused_with_a_way_out():
    with pytest.raises(ModelUnavailable, match="install `flash-attn") as refusal:
        attention.choose("flash", CPU)

    assert "model.attention is 'flash'" in str(refusal.value)
    assert 'set it to "auto"' in str(refusal.value)


def test_a_kernel_draws_and_its_error_and_name_are_told(tiny, canny, caplog):
    """Transformer and ControlNet alike."""
    caplog.set_level(logging.INFO)
    plain, other = new_engine(tiny), new_engine(tiny, attention="_native_math")
    plain.load()
    other.load()

    one, two = (engine.generate(canny, ignore) for engine in (plain, other))

    assert "attention by _native_math, which is off torch's own by" in caplog.text
    assert abs(pixels(one).astype(int) - pixels(two)).max() <= 1
    assert two.drawn_with["attention"] == "_native_math"
    assert "attention" not in one.drawn_with
    net = model(other).controlnet_pipeline(canny.kind.controlnet, None).controlnet
    for part in (model(other).text_to_image.transformer, net):
        kernels = {
            str(getattr(module.processor._attention_backend, "value", None))
            for module in part.modules()
            if hasattr(getattr(module, "processor", None), "_attention_backend")
        }
        assert kernels == {"_native_math"}
    active, _ = attention_dispatch._AttentionBackendRegistry.get_active_backend()
    assert active == "native", "other models in this process attend as before"
