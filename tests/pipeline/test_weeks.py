"""A scheduled pipeline over weeks, in short; `make bench BENCH=weeks` runs twenty of them."""

import pytest

from benchmarks.weeks import BAD_LABELS, HIGH_GATE, Week, simulate


@pytest.mark.slow
def test_each_week_converts_only_what_is_new_and_a_bad_one_pushes_nothing(tmp_path):
    weeks = [Week(8), Week(2, changed=1, trouble=BAD_LABELS), Week(1, trouble=HIGH_GATE)]
    first, bad, refused = simulate(tmp_path, weeks)
    assert (first.converted, first.taken_over) == (8, 0) and first.version
    assert (refused.converted, refused.taken_over) == (4, 7)
    assert refused.refusal.startswith('not pushed: top1 is ') and not refused.version
    assert bad.refusal.endswith('set finetune.loss to sigmoid') and not bad.version
