"""The transformer block of the paper's models: pre-norm, no class token (Sec. 3.2, [26, 77]).

Shapes: B clips, N tokens, D width, H heads, K width of a head.
"""

import tensorflow as tf
import tf_keras as keras

from avmae_tf.config import BackboneSpec

EPSILON = 1e-6


def layer_norm(name: str) -> keras.layers.Layer:
    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name)


class QueryKeyValueInitializer(keras.initializers.Initializer):
    """Xavier-uniform for each of the three [D, D] maps that share one kernel."""

    def __call__(self, shape, dtype=None, **kwargs):
        third = (shape[0], shape[1] // 3)
        maps = [keras.initializers.GlorotUniform()(third, dtype=dtype) for _ in range(3)]
        return tf.concat(maps, axis=1)


class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention, scores scaled by 1 / sqrt(K), biases everywhere."""

    def __init__(self, num_heads: int, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, shape):
        width = shape[-1]
        self.query_key_value = keras.layers.Dense(
            3 * width,
            kernel_initializer=QueryKeyValueInitializer(),
            name='query_key_value',
        )
        self.out = keras.layers.Dense(width, name='out')
        super().build(shape)

    def call(self, x):
        num_tokens, width = x.shape[1:]
        qkv = self.query_key_value(x)
        qkv = tf.reshape(qkv, [-1, num_tokens, 3, self.num_heads, width // self.num_heads])
        q, k, v = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
        scores = tf.matmul(q * (width // self.num_heads) ** -0.5, k, transpose_b=True)
        y = tf.matmul(tf.nn.softmax(scores), v)
        y = tf.reshape(tf.transpose(y, [0, 2, 1, 3]), [-1, num_tokens, width])
        return self.out(y)


class MLP(keras.layers.Layer):
    """Dense, gelu (tanh approximation), dense."""

    def __init__(self, hidden_width: int, **kwargs):
        super().__init__(**kwargs)
        self.hidden_width = hidden_width

    def build(self, shape):
        def dense(width, name):
            bias = keras.initializers.RandomNormal(stddev=1e-6)
            return keras.layers.Dense(width, bias_initializer=bias, name=name)

        self.hidden = dense(self.hidden_width, 'hidden')
        self.out = dense(shape[-1], 'out')
        super().build(shape)

    def call(self, x):
        return self.out(tf.nn.gelu(self.hidden(x), approximate=True))


def drop_branch(branch: tf.Tensor, rate: float, seed) -> tf.Tensor:
    """Stochastic depth [43]: per clip, the kept branch is not rescaled."""
    if seed is None or not rate:
        return branch
    noise = tf.random.stateless_uniform([branch.shape[0] or tf.shape(branch)[0], 1, 1], seed)
    return branch * tf.cast(noise >= rate, branch.dtype)


def fold_in(seed, number: int):
    """Another seed [2] for each `number`; None, which stands for inference, stays None."""
    return None if seed is None else tf.random.experimental.stateless_fold_in(seed, number)


class Block(keras.layers.Layer):
    """a = x + Attention(Norm(x)); y = a + MLP(Norm(a)), the `index`-th of its backbone.

    Stochastic depth drops either branch at the rate r index / (L - 1).
    """

    def __init__(self, spec: BackboneSpec, index: int, *, stochastic_depth: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.index = index
        self.drop_rate = stochastic_depth * index / max(spec.num_layers - 1, 1)
        self.attention_norm = layer_norm('attention_norm')
        self.attention = SelfAttention(spec.num_heads, name='attention')
        self.mlp_norm = layer_norm('mlp_norm')
        self.mlp = MLP(spec.mlp_width, name='mlp')

    def call(self, x, seed=None):
        """[B, N, D] to [B, N, D]; a `seed` [2] means training, and draws what is dropped."""
        seed = fold_in(seed, self.index)
        attended = self.attention(self.attention_norm(x))
        x = x + drop_branch(attended, self.drop_rate, fold_in(seed, 0))
        return x + drop_branch(self.mlp(self.mlp_norm(x)), self.drop_rate, fold_in(seed, 1))


class Stack(keras.layers.Layer):
    """Blocks `start` to `stop` of a backbone, then a norm."""

    def __init__(
        self,
        spec: BackboneSpec,
        start: int = 0,
        stop: int | None = None,
        *,
        stochastic_depth: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.blocks = [
            Block(spec, i, stochastic_depth=stochastic_depth, name=f'block_{i}')
            for i in range(start, spec.num_layers if stop is None else stop)
        ]
        self.norm = layer_norm('norm')

    def call(self, x, seed=None):
        for block in self.blocks:
            x = block(x, seed=seed)
        return self.norm(x)
