"""Memory and speed: limits that can be computed by hand."""

import pytest

from roadmap.sizing import roofline
from roadmap.sizing.published import LLAMA_2_7B, LLAMA_3_8B, MIXTRAL_8X7B
from roadmap.sizing.roofline import MACHINES

H100 = MACHINES["h100"]


def test_one_sequence_waits_for_the_weights() -> None:
    moving, arithmetic = roofline.step_seconds(LLAMA_2_7B, H100, "bf16", 1, 1)
    assert moving > 100 * arithmetic
    half = roofline.step_seconds(LLAMA_2_7B, H100, "int8", 1, 1)[0]
    assert half == pytest.approx(moving / 2, rel=1e-3)
    assert roofline.decoding(LLAMA_2_7B, H100, "bf16", 1, 1) == pytest.approx(3.35e12 / 13.2e9, rel=0.01)


def test_a_large_batch_waits_for_the_arithmetic() -> None:
    moving, arithmetic = roofline.step_seconds(LLAMA_3_8B, H100, "bf16", 1, 1024)
    assert arithmetic > moving
    assert roofline.decoding(LLAMA_3_8B, H100, "bf16", 1, 1024) == pytest.approx(H100.flops / LLAMA_3_8B.flops(1))


def test_a_token_reads_its_experts_and_a_batch_reads_all() -> None:
    active, total = MIXTRAL_8X7B.parameters(active=True), MIXTRAL_8X7B.parameters()
    lookup = MIXTRAL_8X7B.vocab * MIXTRAL_8X7B.width
    assert MIXTRAL_8X7B.weights_read(1) == pytest.approx(active - lookup)
    assert MIXTRAL_8X7B.weights_read(64) == pytest.approx(total - lookup, rel=1e-6)


def test_what_fits_is_what_memory_says() -> None:
    most = roofline.largest_batch(LLAMA_3_8B, H100, "bf16", 8192)
    assert roofline.memory(LLAMA_3_8B, "bf16", 8192, most) <= H100.memory
    assert roofline.memory(LLAMA_3_8B, "bf16", 8192, most + 1) > H100.memory
    assert roofline.largest_batch(LLAMA_3_8B, MACHINES["t4"], "bf16", 8192) == 0
    assert roofline.largest_batch(LLAMA_3_8B, MACHINES["t4"].times(2), "bf16", 8192) > 0
