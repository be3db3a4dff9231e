#!/usr/bin/env python3
"""One training step of a BERT classifier written in plain JAX, jitted as a whole; see peer.py for the protocol."""

import peer

LAYERNORM_EPS = 1e-12
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


def build(args):
    import jax
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(0)
    h, i, heads = args.hidden, args.intermediate, args.heads
    d = h // heads
    narrow = jnp.bfloat16 if args.precision == "bf16" else jnp.float32  # of products; parameters, sums of rows and AdamW: fp32

    def dense(inputs, outputs):
        return {
            "w": jnp.asarray(rng.normal(0, 0.02, (inputs, outputs)), jnp.float32),
            "b": jnp.zeros(outputs, jnp.float32),
        }

    def table(rows):
        return jnp.asarray(rng.normal(0, 0.02, (rows, h)), jnp.float32)

    def norm():
        return {"scale": jnp.ones(h, jnp.float32), "shift": jnp.zeros(h, jnp.float32)}

    def layer():
        return {
            "query": dense(h, h),
            "key": dense(h, h),
            "value": dense(h, h),
            "projection": dense(h, h),
            "norm1": norm(),
            "up": dense(h, i),
            "down": dense(i, h),
            "norm2": norm(),
        }

    parameters = {
        "words": table(args.vocab),
        "positions": table(args.positions),
        "types": table(2),
        "norm": norm(),
        "layers": [layer() for _ in range(args.layers)],
        "pooler": dense(h, h),
        "classifier": dense(h, args.labels),
    }

    def linear(p, x):
        return x.astype(narrow) @ p["w"].astype(narrow) + p["b"].astype(narrow)

    def layernorm(p, x):
        x = x.astype(jnp.float32)
        mean = x.mean(-1, keepdims=True)
        variance = jnp.square(x - mean).mean(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + LAYERNORM_EPS) * p["scale"] + p["shift"]

    def dropout(key, x):
        keep = 1.0 - args.dropout
        return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0.0)

    def split_heads(x):
        return x.reshape(x.shape[0], x.shape[1], heads, d)

    def encoder_layer(p, x, key):
        keys = jax.random.split(key, 3)
        q, k, v = (split_heads(linear(p[name], x)) for name in ("query", "key", "value"))
        scores = jnp.einsum("bsad,btad->bast", q, k).astype(jnp.float32) / np.sqrt(d).astype(np.float32)
        weights = dropout(keys[0], jax.nn.softmax(scores, axis=-1))
        mixed = jnp.einsum("bast,btad->bsad", weights.astype(narrow), v).reshape(x.shape)
        x = layernorm(p["norm1"], x + dropout(keys[1], linear(p["projection"], mixed)))
        y = linear(p["down"], jax.nn.gelu(linear(p["up"], x), approximate=False))
        return layernorm(p["norm2"], x + dropout(keys[2], y))

    def loss_of(p, ids, labels, key):
        keys = jax.random.split(key, args.layers + 2)
        x = p["words"][ids] + p["positions"][jnp.arange(ids.shape[1])] + p["types"][0]
        x = dropout(keys[0], layernorm(p["norm"], x))
        for parameters_of_layer, layer_key in zip(p["layers"], keys[1:]):
            x = encoder_layer(parameters_of_layer, x, layer_key)
        pooled = dropout(keys[-1], jnp.tanh(linear(p["pooler"], x[:, 0])))
        logits = jax.nn.log_softmax(linear(p["classifier"], pooled).astype(jnp.float32))
        return -jnp.take_along_axis(logits, labels[:, None], axis=1).mean()

    def adamw(p, g, m, v, step):
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g * g
        update = (m / (1 - BETA1**step)) / (jnp.sqrt(v / (1 - BETA2**step)) + EPS)
        return p - args.lr * (update + args.weight_decay * p), m, v

    def train_step(p, m, v, step, ids, labels, key):
        loss, g = jax.value_and_grad(loss_of)(p, ids, labels, jax.random.fold_in(key, step))
        leaves, tree = jax.tree.flatten(p)
        step = step.astype(jnp.float32)
        updated = [adamw(*values, step) for values in zip(leaves, *(jax.tree.leaves(t) for t in (g, m, v)))]
        return (*(jax.tree.unflatten(tree, [u[n] for u in updated]) for n in range(3)), loss)

    compiled = jax.jit(
        train_step, donate_argnums=(0, 1, 2)
    )  # the old parameters' memory becomes the new ones'
    zeros = lambda: jax.tree.map(jnp.zeros_like, parameters)
    state = (parameters, zeros(), zeros())
    ids = jnp.asarray(rng.integers(0, args.vocab, (args.batch, args.length)), jnp.int32)
    labels = jnp.asarray(rng.integers(0, args.labels, args.batch), jnp.int32)
    key = jax.random.key(0)
    count = 0

    def step():
        nonlocal state, count
        count += 1
        *state, loss = compiled(*state, jnp.int32(count), ids, labels, key)
        return float(loss)

    return step


if __name__ == "__main__":
    peer.main("JAX", build, peer.options(__doc__))
