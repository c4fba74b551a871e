"""The chips by what Google publishes of them, and topologies by their names."""

import pytest

from avmae_tf.tpu.chips import CHIPS, smallest, topology_of


@pytest.mark.parametrize(
    ('version', 'tflops', 'gib'),  # of a chip, as cloud.google.com/tpu/docs lists them
    [
        *(('v2', 46, 16), ('v3', 123, 32), ('v4', 275, 32)),
        *(('v5e', 197, 16), ('v5p', 459, 95), ('v6e', 918, 32)),
    ],
)
def test_clock_and_products_make_the_published_peak(version, tflops, gib):
    chip = CHIPS[version]
    assert chip.cores * chip.peak_flops / 1e12 == pytest.approx(tflops, rel=0.005)
    assert chip.cores * chip.memory_gib == gib


@pytest.mark.parametrize(
    ('name', 'cores'), [('v3:2x2', 8), ('v5e:2x2', 4), ('v5e:16x16', 256), ('v4:2x2x4', 16)]
)
def test_a_topology_has_the_cores_of_its_chips(name, cores):
    assert topology_of(name).num_cores == cores


def test_the_smallest_of_each_version_is_one_of_four_chips():
    names = 'v2:2x2 v3:2x2 v4:2x2x1 v5e:2x2 v5p:2x2x1 v6e:2x2'.split()
    assert [smallest(version).name for version in CHIPS] == names


@pytest.mark.parametrize('name', ['v5e', 'v5e:4', 'v5e:2x2x1', 'v4:2x2', 'v9:2x2', 'v5e:0x2', ''])
def test_another_name_is_refused_with_examples(name):
    with pytest.raises(ValueError, match=f"such as v2:2x2, .*v4:2x2x1, .*; got '{name}'"):
        topology_of(name)
