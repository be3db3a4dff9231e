#!/usr/bin/env python3
"""One training step of a BERT classifier in Keras 3 (TensorFlow backend unless KERAS_BACKEND says otherwise), compiled
as `fit` does; see peer.py for the protocol."""

import os

import peer

LAYERNORM_EPS = 1e-12


def build(args):
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import numpy as np
    from keras import layers

    keras.utils.set_random_seed(0)
    if args.precision == "bf16":
        keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    rng = np.random.default_rng(0)
    initializer = keras.initializers.RandomNormal(stddev=0.02)

    def dense(units, activation=None):
        return layers.Dense(units, activation=activation, kernel_initializer=initializer)

    def gelu(x):
        return keras.activations.gelu(x, approximate=False)

    def encoder_layer(x):
        attention = layers.MultiHeadAttention(
            args.heads, args.hidden // args.heads, dropout=args.dropout, kernel_initializer=initializer
        )
        y = layers.Dropout(args.dropout)(attention(x, x))
        x = layers.LayerNormalization(epsilon=LAYERNORM_EPS)(x + y)
        y = dense(args.hidden)(dense(args.intermediate, gelu)(x))
        return layers.LayerNormalization(epsilon=LAYERNORM_EPS)(x + layers.Dropout(args.dropout)(y))

    ids = keras.Input((args.length,), dtype="int32")
    positions = keras.Input((args.length,), dtype="int32")
    x = layers.Embedding(args.vocab, args.hidden, embeddings_initializer=initializer)(ids)
    x = x + layers.Embedding(args.positions, args.hidden, embeddings_initializer=initializer)(positions)
    x = layers.Dropout(args.dropout)(layers.LayerNormalization(epsilon=LAYERNORM_EPS)(x))
    for _ in range(args.layers):
        x = encoder_layer(x)
    pooled = layers.Dropout(args.dropout)(dense(args.hidden, "tanh")(x[:, 0]))
    model = keras.Model([ids, positions], dense(args.labels)(pooled))
    model.compile(
        optimizer=keras.optimizers.AdamW(args.lr, weight_decay=args.weight_decay),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    batch = rng.integers(0, args.vocab, (args.batch, args.length), dtype=np.int32)
    places = np.tile(np.arange(args.length, dtype=np.int32), (args.batch, 1))
    labels = rng.integers(0, args.labels, args.batch)
    return lambda: float(model.train_on_batch([batch, places], labels))


if __name__ == "__main__":
    peer.main("Keras", build, peer.options(__doc__))
