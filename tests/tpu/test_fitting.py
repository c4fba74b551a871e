"""The most clips that fit, found among steps whose memory is a formula."""

import pytest

from avmae_tf.tpu.compiler import CompiledStep
from avmae_tf.tpu.fitting import next_attempt

MEMORY = 16.0


def search(most: int, arguments: float, of_a_clip: float, once: float = 0.0) -> list[int]:
    """Clips of all attempts, where a clip takes so many GiB beside what is there but once."""
    tried: dict[int, CompiledStep] = {}
    while clips := next_attempt(tried, most, MEMORY):
        assert clips not in tried and 1 <= clips <= most
        peak = arguments + once + clips * of_a_clip
        tried[clips] = CompiledStep(
            outcome='compiles' if peak <= MEMORY else 'too large',
            peak_gib=peak, arguments_gib=arguments, step='train', topology='v5e:2x2', clips=clips,
        )  # fmt: skip
    return list(tried)


@pytest.mark.parametrize('most', [1, 2, 16, 512])
@pytest.mark.parametrize('arguments', [0.01, 3.0, 15.5, 17.0])
@pytest.mark.parametrize('of_a_clip', [0.003, 0.21, 1.6, 9.0])
@pytest.mark.parametrize('once', [0.0, 1.3])
def test_the_largest_power_of_two_that_fits_is_found_in_few_attempts(
    most, arguments, of_a_clip, once
):
    attempts = search(most, arguments, of_a_clip, once)
    fit = [n for n in (2**i for i in range(10)) if n <= most
           and arguments + once + n * of_a_clip <= MEMORY]  # fmt: skip
    tried = [n for n in attempts if arguments + once + n * of_a_clip <= MEMORY]
    assert max(tried, default=0) == max(fit, default=0)
    assert len(attempts) <= 3


def test_no_other_batch_is_tried_where_an_operation_is_refused():
    refused = CompiledStep(outcome='refused', step='train', topology='v5e:2x2', clips=8)
    assert next_attempt({8: refused}, 512, MEMORY) == 0
