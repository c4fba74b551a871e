"""`avmae sweep` says what it would do, and what it lacks, before it does anything."""

import pytest


def test_a_dry_run_counts_the_runs_and_their_cost(here, tmp_path):
    done = here('sweep', 'table19', '--scale', 'paper', '--dry-run', '--workdir', tmp_path / 'w')
    assert done.returncode == 0, done.stderr
    assert '7 runs' in done.stdout and 'TPU v3 core hours' in done.stdout
    assert 'Table 19: 59.0 for AudioMAE' in done.stdout
    assert not (tmp_path / 'w').exists()


def test_a_dry_run_says_what_a_scale_does_not_have(here):
    done = here('sweep', 'table4', '--dry-run', '--seeds', '2')
    assert 'left out: there is no epic-kitchens at this scale' in done.stderr
    assert '4 runs' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['table7'], "'table7' is not one of"),
        (['table3', '--scale', 'paper'], "at the scale 'paper' needs --input vggsound=PATH"),
        (
            ['table6', '--scale', 'paper', '--input', 'vggsound=/v'],
            'needs --input image-vit-base=PATH, --input image-vit-large=PATH',
        ),
        (['table3', '--input', 'vggsound'], "'vggsound' is not NAME=PATH"),
        (['table3', '--workdir', 'gs://b/w'], 'must be a folder of this machine, got gs://b/w'),
    ],
)
def test_bad_input_is_one_line_that_names_the_fix(here, arguments, message):
    done = here('sweep', *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and 'Traceback' not in done.stderr
