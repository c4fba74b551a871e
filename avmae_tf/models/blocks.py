"""The transformer block of the paper's models: pre-norm, no class token (Sec. 3.2, [26, 77]).

Shapes: B clips, N tokens, D width, H heads, K width of a head.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import BackboneSpec
from avmae_tf.models.attention import attend
from avmae_tf.models.dense import Dense, product, product_gradients
from avmae_tf.models.depth import dropped, kept_branches, nth
from avmae_tf.models.recompute import after, in_xla, keep
from avmae_tf.models.repeat import repeated

EPSILON = 1e-6
GELU_LINEAR = 2 * math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715 * GELU_LINEAR


@tf.custom_gradient
def layer_norm(
    x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """(x - mean) / sqrt(variance + 1e-6) * scale + offset over the last axis.

    Keeps x and two numbers a token for the backward pass.
    """
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)
    centred = x - mean
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + EPSILON)

    def gradient(y_gradient):
        normal = (after(y_gradient, x)[0] - mean) * inverse
        others = list(range(len(x.shape) - 1))
        direct = y_gradient * scale
        along = tf.reduce_mean(direct * normal, axis=-1, keepdims=True)
        level = tf.reduce_mean(direct, axis=-1, keepdims=True)
        return (
            (direct - level - normal * along) * inverse,
            tf.reduce_sum(y_gradient * normal, others),
            tf.reduce_sum(y_gradient, others),
        )

    return centred * inverse * scale + offset, gradient


class LayerNorm(keras.layers.Layer):
    """Layer normalisation in float32, whatever the precision around it."""

    def build(self, shape: tf.TensorShape) -> None:
        self.scale = self.add_weight(name='scale', shape=shape[-1:], initializer='ones')
        self.offset = self.add_weight(name='offset', shape=shape[-1:], initializer='zeros')
        super().build(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        scale, offset = (tf.cast(w, tf.float32) for w in (self.scale, self.offset))
        return tf.cast(layer_norm(tf.cast(x, tf.float32), scale, offset), x.dtype)


def _gate(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), the factor of gelu on x, and its slope / x."""
    square = tf.square(x)
    gate = tf.sigmoid(x * (GELU_LINEAR + GELU_CUBIC * square))
    return gate, (1 - gate) * (GELU_LINEAR + 3 * GELU_CUBIC * square)


@tf.custom_gradient
def gelu_then_matmul(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """gelu(x) kernel, gelu in its tanh approximation; keeps x [..., H] alone, not gelu(x)."""

    def gradient(y_gradient):
        (hidden,) = after(y_gradient, x)
        gate, slope = _gate(hidden)
        upstream, kernel_gradient = product_gradients(hidden * gate, kernel, y_gradient)
        return upstream * gate * (1 + hidden * slope), kernel_gradient

    return product(x * _gate(x)[0], kernel), gradient


class QueryKeyValueInitializer(keras.initializers.Initializer):
    """Xavier-uniform for each of the three [D, D] maps that share one kernel."""

    def __call__(self, shape: tf.TensorShape, dtype=None, **kwargs: Any):
        third = (shape[0], shape[1] // 3)
        maps = [keras.initializers.GlorotUniform()(third, dtype=dtype) for _ in range(3)]
        return tf.concat(maps, axis=1)


class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention, scores scaled by 1 / sqrt(K), biases everywhere."""

    def __init__(self, num_heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, shape: tf.TensorShape) -> None:
        width = shape[-1]
        self.query_key_value = Dense(
            3 * width,
            kernel_initializer=QueryKeyValueInitializer(),
            name='query_key_value',
        )
        self.out = Dense(width, name='out')
        for layer in (self.query_key_value, self.out):
            layer.build(shape)
        super().build(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        batch, num_tokens, width = x.shape
        heads, head_width = self.num_heads, width // self.num_heads
        groups = None if batch is None else batch * heads
        q, k, v = (
            tf.ensure_shape(
                tf.reshape(part, [-1, num_tokens, head_width]), [groups, num_tokens, head_width]
            )
            for part in tf.unstack(self._by_head(x))
        )
        y = tf.reshape(attend(q * head_width**-0.5, k, v), [-1, heads, num_tokens, head_width])
        if in_xla():
            kernel, bias = (tf.cast(w, y.dtype) for w in (self.out.kernel, self.out.bias))
            kernel = tf.reshape(kernel, [heads, head_width, width])
            return tf.einsum('bhnk,hkd->bnd', y, kernel) + bias
        return self.out(tf.reshape(tf.transpose(y, [0, 2, 1, 3]), [-1, num_tokens, width]))

    def _by_head(self, x: tf.Tensor) -> tf.Tensor:
        """Queries, keys and values [3, B, H, N, K]; for XLA straight from the matrix product."""
        layer, (num_tokens, width) = self.query_key_value, x.shape[1:]
        shape = [3, self.num_heads, width // self.num_heads]
        if in_xla():
            kernel, bias = (tf.cast(w, x.dtype) for w in (layer.kernel, layer.bias))
            bias = tf.reshape(bias, [3, 1, self.num_heads, 1, shape[-1]])
            product = tf.einsum('bnd,dthk->tbhnk', x, tf.reshape(kernel, [width, *shape]))
            return keep(product + bias)
        qkv = tf.reshape(keep(layer(x)), [-1, num_tokens, *shape])
        return tf.transpose(qkv, [2, 0, 3, 1, 4])


class MLP(keras.layers.Layer):
    """Dense, gelu (tanh approximation), dense."""

    def __init__(self, hidden_width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.hidden_width = hidden_width

    def build(self, shape: tf.TensorShape) -> None:
        def dense(width, name):
            bias = keras.initializers.RandomNormal(stddev=1e-6)
            return Dense(width, bias_initializer=bias, name=name)

        self.hidden = dense(self.hidden_width, 'hidden')
        self.out = dense(shape[-1], 'out')
        self.hidden.build(shape)
        self.out.build([*shape[:-1], self.hidden_width])
        super().build(shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        kernel, bias = (tf.cast(w, x.dtype) for w in (self.out.kernel, self.out.bias))
        return gelu_then_matmul(keep(self.hidden(x)), kernel) + bias


class Block(keras.layers.Layer):
    """a = x + Attention(Norm(x)); y = a + MLP(Norm(a)), the `index`-th of its backbone.

    Stochastic depth drops either branch at the rate r index / (L - 1). With `rematerialise` the
    backward pass computes the block again from its input instead of keeping what is inside.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        index: int,
        *,
        stochastic_depth: float = 0.0,
        rematerialise: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.index = index
        self.rematerialise = rematerialise
        self.drop_rate = stochastic_depth * index / max(spec.num_layers - 1, 1)
        self.attention_norm = LayerNorm(name='attention_norm')
        self.attention = SelfAttention(spec.num_heads, name='attention')
        self.mlp_norm = LayerNorm(name='mlp_norm')
        self.mlp = MLP(spec.mlp_width, name='mlp')

    def build(self, shape: tf.TensorShape) -> None:
        for layer in (self.attention_norm, self.attention, self.mlp_norm, self.mlp):
            layer.build(shape)  # now: none may be made while a block is computed again
        super().build(shape)

    def call(self, x: tf.Tensor, kept: tf.Tensor | None = None) -> tf.Tensor:
        """[B, N, D] to [B, N, D]; `kept` [2, B, 1, 1] are the branches that are not dropped."""
        if self.rematerialise and not in_xla():  # there `repeated` does it
            return tf.recompute_grad(lambda y: self._forward(y, kept))(x)
        return self._forward(x, kept)

    def _forward(self, x: tf.Tensor, kept: tf.Tensor | None):
        x = keep(x + dropped(self.attention(self.attention_norm(x)), nth(kept, 0)))
        return x + dropped(self.mlp(self.mlp_norm(x)), nth(kept, 1))


class Stack(keras.layers.Layer):
    """Blocks one after the other, then a norm; without `final_norm` the caller applies it."""

    def __init__(self, blocks: list[Block], *, final_norm: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.final_norm = final_norm
        self.blocks = list(blocks)
        self.norm = LayerNorm(name='norm')

    def call(self, x: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        def step(state, kept, block):
            return [block(state[0], kept=nth(kept, 0))]

        rows = [[block] for block in self.blocks]
        (x,) = repeated(step, rows, [x], kept_branches(rows, [seed], x))
        return self.norm(x) if self.final_norm else x
