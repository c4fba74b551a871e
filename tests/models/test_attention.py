"""Attention in chunks, with weights kept or computed again, is attention."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.models import attention

G, N, K = 12, 10, 4


@pytest.fixture
def inputs():
    return [tf.random.stateless_normal([G, N, K], [i, 3]) for i in range(4)]


def with_gradients(attend, q, k, v, out_gradient):
    with tf.GradientTape() as tape:
        tape.watch([q, k, v])
        out = attend(q, k, v)
    return [out, *tape.gradient(out, [q, k, v], out_gradient)]


def plainly(q, k, v):
    return tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True)), v)


@pytest.mark.parametrize('jit_compile', [False, True])
@pytest.mark.parametrize(
    ('kept_bytes', 'chunk_bytes', 'chunks'),
    [(2**20, 2**20, 1), (0, 2**20, 1), (0, 3 * N**2 * 4, 4), (0, 1, 12)],
)
def test_outputs_and_gradients_are_those_of_the_definition(
    inputs, monkeypatch, kept_bytes, chunk_bytes, chunks, jit_compile
):
    monkeypatch.setattr(attention, 'KEPT_BYTES', kept_bytes)
    monkeypatch.setattr(attention, 'CHUNK_BYTES', chunk_bytes)
    assert attention.num_chunks(G, N, 4) == chunks
    ours = tf.function(with_gradients, jit_compile=jit_compile)(attention.attend, *inputs)
    for a, b in zip(ours, with_gradients(plainly, *inputs), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_groups_of_an_unknown_number_are_attended_to_one_by_one(inputs):
    signature = [tf.TensorSpec([None, N, K])] * 3
    unknown = tf.function(attention.attend, input_signature=signature)
    np.testing.assert_allclose(unknown(*inputs[:3]), plainly(*inputs[:3]), atol=1e-6)


@pytest.mark.parametrize(('tokens', 'chunks'), [(400, 1), (1568, 3), (3140, 12)])
def test_chunks_of_the_paper(tokens, chunks):
    assert attention.num_chunks(12, tokens, 4) == chunks


def test_xla_computes_scores_again_too(inputs, monkeypatch):
    monkeypatch.setattr(attention, 'KEPT_BYTES', 0)
    q, *others = inputs

    def step(q):
        return with_gradients(attention.attend, q, *others)

    compiled = tf.function(step, jit_compile=True).experimental_get_compiler_ir(q)
    # scores and values; scores once more; dP, and the gradients of q, k and v
    assert compiled('optimized_hlo').count(' dot(') == 2 + 1 + 4
