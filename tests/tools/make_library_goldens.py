"""Writes tests/golden/language/library.txt: what PyTorch computes, in double, for the functions of ir/std.

Each line is a name and the values of a tensor: first what tests/golden/language/library.ir reads, then what it gives.
Sequences have 3 and 4 tokens and lie packed, one after the other.

    make_library_goldens.py > tests/golden/language/library.txt
"""
import torch
import torch.nn.functional as F

LENGTHS = [3, 4]
TOKENS = sum(LENGTHS)
H, A, D, C, V = 6, 2, 3, 5, 7


def show(name, tensor):
    print(name, " ".join("%.17g" % v for v in torch.as_tensor(tensor, dtype=torch.float64).flatten().tolist()))


def normal(name, *shape):
    value = torch.randn(*shape, dtype=torch.float64)
    show(name, value)
    return value


def per_sequence(x):
    return torch.split(x, LENGTHS)


torch.manual_seed(7)
x = normal("x", TOKENS, H)
q, k, v = (normal(name, TOKENS, A, D) for name in "qkv")
ids = torch.tensor([0, 3, 6, 3, 1, 2, 5])
show("ids", ids)
logits = normal("logits", 2, C)
label = torch.tensor([4, 0])
show("label", label)
target = normal("target", 2)
g = normal("g", C, H)
show("smoothing", 0.1)
show("p", 0)
linear = normal("linear.weight", C, H), normal("linear.bias", C)
heads = normal("heads.weight", A * D, H), normal("heads.bias", A * D)
norm = normal("norm.weight", H), normal("norm.bias", H)
table = normal("table.weight", V, H)
w = normal("w", C, H)

show("relu_x", F.relu(x))
show("sigmoid_x", torch.sigmoid(x))
show("silu_x", F.silu(x))
show("gelu_x", F.gelu(x))
show("gelu_tanh_x", F.gelu(x, approximate="tanh"))
show("softmax_x", F.softmax(x, -1))
show("log_softmax_x", F.log_softmax(x, -1))
show("mean_h", x.mean(-1))
show("mean_s", torch.stack([s.mean(0) for s in per_sequence(x)]))
show("mean_bs", x.mean(0))
show("mean_all", x.mean())
show("concat_x", torch.cat([q[:, 1], x], -1))
show("linear_x", F.linear(x, *linear))
show("heads_x", F.linear(x, *heads))
show("layernorm_x", F.layer_norm(x, (H,), *norm, eps=1e-5))
show("embedding_ids", F.embedding(ids, table))
show("dropout_x", x)
attended = [F.scaled_dot_product_attention(*(t.transpose(0, 1) for t in qkv)).transpose(0, 1)
            for qkv in zip(per_sequence(q), per_sequence(k), per_sequence(v))]
show("attention_q", torch.cat(attended))
show("cross_entropy_plain", F.cross_entropy(logits, label, reduction="none"))
show("cross_entropy_smooth", F.cross_entropy(logits, label, reduction="none", label_smoothing=0.1))
show("mse_target", F.mse_loss(logits[:, 1], target, reduction="none"))
clipped = torch.nn.Parameter(torch.zeros_like(g))
clipped.grad = g.clone()
torch.nn.utils.clip_grad_norm_([clipped], 0.5)
show("clip", (clipped.grad / g)[0, 0])

gru = torch.nn.GRU(H, C, batch_first=True).double()
for name, parameter in gru.named_parameters():
    parameter.data = normal(f"gru.{name}", *parameter.shape)
show("gru_x", torch.cat([gru(s)[0].detach() for s in per_sequence(x)]))

# Three steps of AdamW on the same gradient, each with another learning rate.
trained = torch.nn.Parameter(w.clone())
optimizer = torch.optim.AdamW([trained], lr=1, weight_decay=0.01, foreach=False)
for step, rate in enumerate((0.1, 0.05, 0.02), 1):
    optimizer.param_groups[0]["lr"] = rate
    trained.grad = g * step
    optimizer.step()
show("w.after", trained.detach())
show("w.exp_avg.after", optimizer.state[trained]["exp_avg"])
show("w.exp_avg_sq.after", optimizer.state[trained]["exp_avg_sq"])
