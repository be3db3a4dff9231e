"""Writes tests/golden/language/optimizers.txt: 20 steps of each optimizer on a small net, in double.

Each line is a name and numbers: first the tensors that all runs start from, then for each run its losses and the
tensors that it ends with. AdamW, Adam and SGD are PyTorch's, Adafactor is transformers'; Keras' Adam and Lion are
written down here from keras/src/optimizers/adam.py and from the paper (arXiv:2302.06675, algorithm 2).

    make_optimizer_goldens.py > tests/golden/language/optimizers.txt
"""
import math

import torch
from transformers.optimization import Adafactor

STEPS, RATE, DECAY = 20, 0.05, 0.1


def show(name, tensor):
    print(name, " ".join("%.17g" % v for v in torch.as_tensor(tensor, dtype=torch.float64).flatten().tolist()))


class KerasAdam(torch.optim.Optimizer):
    """build() and update_step() of keras.optimizers.AdamW: epsilon is outside of the bias correction."""

    def __init__(self, params, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.0):
        super().__init__(params, dict(lr=lr))
        self.beta_1, self.beta_2, self.epsilon, self.weight_decay = beta_1, beta_2, epsilon, weight_decay
        self.iterations = 0

    @torch.no_grad()
    def step(self):
        self.iterations += 1
        for group in self.param_groups:
            lr = group["lr"]
            alpha = lr * math.sqrt(1 - self.beta_2**self.iterations) / (1 - self.beta_1**self.iterations)
            for p in group["params"]:
                p -= p * self.weight_decay * lr
                state = self.state.setdefault(p, {})
                m = state.setdefault("m", torch.zeros_like(p))
                v = state.setdefault("v", torch.zeros_like(p))
                m += (p.grad - m) * (1 - self.beta_1)
                v += (p.grad * p.grad - v) * (1 - self.beta_2)
                p -= m * alpha / (v.sqrt() + self.epsilon)


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state.setdefault(p, {}).setdefault("exp_avg", torch.zeros_like(p))
                update = (m * beta1 + p.grad * (1 - beta1)).sign()
                p *= 1 - group["lr"] * group["weight_decay"]
                p -= group["lr"] * update
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


torch.manual_seed(11)
START = {
    "embed.scale": torch.rand(3, dtype=torch.float64) + 0.5,
    "layer.0.weight": torch.randn(4, 3, dtype=torch.float64),
    "layer.0.bias": torch.randn(4, dtype=torch.float64),
    "layer.1.weight": torch.randn(3, 4, dtype=torch.float64),
    "layer.1.bias": torch.randn(3, dtype=torch.float64),
    "head.weight": torch.randn(2, 3, dtype=torch.float64),
    "head.bias": torch.randn(2, dtype=torch.float64),
}
x = torch.randn(4, 3, dtype=torch.float64)
target = torch.randn(4, 2, dtype=torch.float64)
show("x", x)
show("target", target)
for name, tensor in START.items():
    show(name, tensor)


def run(case, make, factors=None):
    """make(groups) gives the optimizer; factors: name of a parameter -> factor of its rate."""
    params = {name: torch.nn.Parameter(tensor.clone()) for name, tensor in START.items()}
    optimizer = make([{"name": name, "params": [p]} for name, p in params.items()])
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / STEPS) * (factors(group["name"]) if factors else 1)
        h = x * params["embed.scale"]
        for layer in ("layer.0", "layer.1"):
            h = torch.tanh(torch.nn.functional.linear(h, params[layer + ".weight"], params[layer + ".bias"]))
        y = torch.nn.functional.linear(h, params["head.weight"], params["head.bias"])
        loss = torch.nn.functional.mse_loss(y, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    show(case + ":loss", losses)
    for name, p in params.items():
        show(case + ":" + name, p.detach())
        for slot, value in optimizer.state[p].items():
            if torch.is_tensor(value) and value.numel() > 1:
                show(f"{case}:{name}.{slot}", value)


def adamw(groups):
    return torch.optim.AdamW(groups, lr=RATE, weight_decay=DECAY, foreach=False)


def grouped(groups):
    """--group "layer.*:lr=0.5x,weight_decay=0.25" --group "*.bias:weight_decay=0"."""
    for group in groups:
        if group["name"].startswith("layer."):
            group["weight_decay"] = 0.25
        if group["name"].endswith(".bias"):
            group["weight_decay"] = 0.0
    return adamw(groups)


def layer_factor(name):
    """--layer-decay 0.5 with two layers."""
    if name.startswith("embed"):
        return 0.5**3
    return 0.5 ** (2 - int(name.split(".")[1])) if name.startswith("layer.") else 1


run("adamw", adamw)
run("adam", lambda groups: torch.optim.Adam(groups, lr=RATE, weight_decay=DECAY, foreach=False))
run("adam_keras", lambda groups: KerasAdam(groups, RATE, weight_decay=DECAY))
run("sgd", lambda groups: torch.optim.SGD(groups, lr=RATE, momentum=0.9, weight_decay=DECAY, foreach=False))
run("lion", lambda groups: Lion(groups, RATE, weight_decay=DECAY))
run("adafactor", lambda groups: Adafactor(groups, lr=RATE, scale_parameter=False, relative_step=False,
                                          weight_decay=DECAY))
run("groups", grouped, lambda name: 0.5 if name.startswith("layer.") else 1)
run("layers", adamw, layer_factor)
