"""ftc.Net: NumPy in and out, views, errors, threads, forks."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import ftc

IDS = [[5, 7, 9], [6, 8], [11]]
LABELS = [1, 0, 3]


@pytest.fixture(scope="module")
def model(models):
    return models / "mlp.ir"


@pytest.fixture(scope="module")
def compiled(model):
    """Compiled once; `net` is it as it was new."""
    net = ftc.compile(model, threads=1, seed=7)
    return net, net.arguments


@pytest.fixture
def net(compiled):
    net, arguments = compiled
    net.init()
    for tensors in (net.gradients, net.moments):
        for name in tensors:
            tensors[name][...] = 0
    net.set(**arguments)
    net.steps = 0
    return net


@pytest.fixture(scope="module")
def pairs(models):
    return ftc.compile(models.parent / "docs/examples/two-texts.ir", threads=1)


def test_describes_itself(net):
    assert net.name == "mlp" and net.calls == ("step", "grad", "update", "eval")
    assert net.inputs["ids"].source == "tokens" and net.inputs["ids"].bound == 1660
    assert [axis.name for axis in net.inputs["ids"].axes] == ["B", "S"]
    assert net.extents["S"].ragged_over == "B" and net.extents["B"].most == 32
    assert net.outputs["logits"].role == "scores" and net.outputs["loss"].role == "loss"
    assert net.arguments["dropout"] == pytest.approx(0.1)
    assert "ids: int32[B, S]" in repr(net)


def test_learns(net):
    first = net.step(ids=IDS, label=LABELS, lr=5e-3)
    assert first.loss == pytest.approx(np.log(5), abs=0.3) and first.logits.shape == (3, 5)
    for _ in range(60):
        last = net.step(ids=IDS, label=LABELS)
    assert last.loss < 0.1 < first.loss
    assert net.steps == 61
    assert net.eval(ids=IDS).logits.argmax(1).tolist() == LABELS


def test_takes_lists_arrays_and_packed_cells(net):
    wanted = net.eval(ids=IDS, label=LABELS)
    packed = np.array(sum(IDS, []))
    ways = [
        {"ids": [np.array(ids) for ids in IDS], "label": np.array(LABELS)},
        {"ids": tuple(map(tuple, IDS)), "label": np.array(LABELS, np.int32)},
        {"ids": packed, "offsets": [0, 3, 5, 6], "label": LABELS},
        {"ids": packed.astype(np.int32), "offsets": {"S": np.array([0, 3, 5, 6])}, "label": LABELS},
        {"ids": np.repeat(packed, 2)[::2], "offsets": [0, 3, 5, 6], "label": np.array([9, 1, 9, 0, 9, 3])[1::2]},
    ]
    for way in ways:
        got = net.eval(**way)
        assert got.loss == wanted.loss and np.array_equal(got.logits, wanted.logits)
    square = net.eval(ids=np.array([[5, 7], [6, 8]]), label=[1, 0])
    assert square.loss == net.eval({"ids": [[5, 7], [6, 8]]}, label=[1, 0]).loss


def test_labels_may_be_missing_in_eval_alone(net):
    assert set(net.eval(ids=IDS)) == {"logits"}
    with pytest.raises(ftc.InputError, match='input "label".*missing'):
        net.step(ids=IDS)


def test_views_are_the_memory_of_the_step(net):
    weight = net.parameters["hidden.weight"]
    assert weight.shape == (128, 64) and weight.dtype == np.float32 and weight.flags.writeable
    before = weight.copy()
    net.grad(ids=IDS, label=LABELS)
    gradient = net.gradients["hidden.weight"]
    assert np.abs(gradient).max() > 0 and np.array_equal(weight, before)
    norm = net.update(lr=1e-3, max_grad_norm=float("inf")).grad_norm
    assert norm > 0 and not gradient.any() and not np.array_equal(weight, before)
    moment = net.moments["hidden.weight.exp_avg"]
    assert np.abs(moment).max() > 0
    # What is written counts.
    net.parameters["classifier.weight"] = np.zeros((5, 128))
    net.parameters["classifier.bias"][:] = [0, 0, 9, 0, 0]
    assert net.eval(ids=IDS).logits.tolist() == [[0, 0, 9, 0, 0]] * 3
    assert np.shares_memory(net.parameters["hidden.weight"], weight)


def test_views_outlive_the_net(model):
    view = ftc.compile(model, threads=1, calls=["eval"]).parameters["hidden.weight"]
    gc.collect()
    assert np.isfinite(view).all()


def test_accumulates(net, model):
    other = ftc.compile(model, threads=1, seed=7)
    for each in (net, other):
        each.set(dropout=0, lr=1e-2, max_grad_norm=1)
    net.grad(ids=IDS, label=LABELS, accumulation=1)
    net.update()
    for ids, label in zip(IDS, LABELS):
        other.grad(ids=[ids], label=[label], accumulation=3)
    other.update()
    for name in net.parameters:
        assert np.allclose(net.parameters[name], other.parameters[name], atol=1e-5), name


def test_shows_stages_and_kernels(net):
    assert "model mlp" in net.source and "kernel" in net.dump("fuse") and "define" in net.llvm("eval")
    assert ".text" in net.asm()
    net.step(ids=IDS, label=LABELS)
    assert len(net.kernels) > 5 and {k.phase for k in net.kernels} >= {"forward", "backward", "update"}
    assert sum(k.flops for k in net.kernels) > 0 and 0 < sum(k.seconds for k in net.kernels) < 1
    with pytest.raises(ftc.InputError, match="fuse"):
        net.dump("fusee")
    with pytest.raises(ftc.InputError, match="did you mean 'grad'"):
        net.kernels_of("gard")


def test_graphs_go_out_and_come_back(net, model, tmp_path):
    dumps = net.dumps()
    assert list(dumps)[0] == "expand" and list(dumps)[-1] == "plan" and dumps["fuse"] == net.dump("fuse")
    changed = dumps["dce"].replace(" = normal_cdf(", " = tanh(", 1)
    (tmp_path / "same.ir").write_text(dumps["dce"])
    losses = []
    for graph in (tmp_path / "same.ir", changed):
        other = ftc.compile(model, threads=1, seed=7, calls="step", graphs={"step": graph})
        losses.append(other.step(ids=IDS, label=LABELS, dropout=0).loss)
        assert ("normal_cdf" in other.dump("kernels")) == (graph is not changed)
    assert losses[0] == net.step(ids=IDS, label=LABELS, dropout=0).loss != losses[1]
    with pytest.raises(ftc.InputError, match="graph of step:.*error"):
        ftc.compile(model, graphs={"step": changed.replace("tanh", "tan")})
    with pytest.raises(ftc.InputError, match="did you mean 'step'"):
        ftc.compile(model, graphs={"steps": changed})


def test_edits_and_kernels_of_ones_own(net, model, models):
    apart = ftc.compile(model, threads=1, seed=7, calls="step", edits=["dot hidden.*: no epilogue"])
    assert len(apart.kernels) > len(net.kernels)
    with pytest.raises(ftc.InputError, match="edits:1:1: error: `hidden`: expected"):
        ftc.compile(model, edits="hidden")
    example = models.parent / "docs/examples/layernorm"
    own = ftc.compile(f"{example}.ir", threads=1, kernels=[f"{example}.c"])
    assert own.step(ids=IDS, label=LABELS).loss > 0 and own.verify()
    assert any(kernel.name.startswith("extern") for kernel in own.kernels)


def test_tells_where_compiling_takes_its_time_and_explains(net):
    assert set(net.times["fuse"]) == set(net.calls) and net.times["LLVM: code"]["all"] > 0
    assert "kernels in eval" in net.explain(call="eval")
    name = net.kernels[2].name
    assert f"\n{name}: " in net.explain(name) and ", bound by " in net.explain(name)
    with pytest.raises(ftc.InputError, match="no kernel \"dot99\""):
        net.explain("dot99")


def test_agrees_with_the_interpreter(net, pairs):
    net.eval(ids=IDS, label=LABELS)
    found = net.verify()
    assert found and "hidden.weight" in found.gradients and "logits" in found.outputs
    assert net.steps == 0 and not net.gradients["hidden.weight"].any()
    pairs.step(left=[[1, 2], [3]], right=[[4], [5, 6, 7]], same=[1, 0])
    assert pairs.verify()
    net.grad(ids=IDS, label=LABELS)
    with pytest.raises(ftc.InputError, match="call update first"):
        net.verify()


def test_inputs_and_outputs_over_several_ragged_axes(pairs):
    out = pairs.step(left=[[1, 2], [3]], right=[[4], [5, 6, 7]], same=[1, 0])
    assert out.score.shape == (2,) and [m.shape for m in out.match] == [(2,), (1,)]
    packed = pairs.eval(left=[1, 2, 3], right=[4, 5, 6, 7], same=[1, 0], offsets={"S": [0, 2, 3], "U": [0, 1, 4]})
    lists = pairs.eval(left=[[1, 2], [3]], right=[[4], [5, 6, 7]], same=[1, 0])
    assert np.array_equal(packed.score, lists.score)


def test_saves_and_loads(net, models, tmp_path):
    net.step(ids=IDS, label=LABELS)
    names = ["a", "b", "c", "d", "e"]
    net.save(tmp_path / "saved", tokenizer=models / "data/tokenizer", labels=names)
    again = ftc.compile(tmp_path / "saved", threads=1)
    assert again.pretrained == str(tmp_path / "saved") and again.initialized == [] and again.unused == []
    assert np.array_equal(again.eval(ids=IDS).logits, net.eval(ids=IDS).logits)
    ids, types = ftc.Tokenizer(tmp_path / "saved")("The soup was wonderful.")
    assert ids.dtype == np.int32 and len(ids) == len(types) > 4
    with pytest.raises(ftc.InputError, match="2 names, but the model has 5"):
        net.save(tmp_path / "other", labels=["a", "b"])


def test_adapters(models, tmp_path):
    base = models.parent / "tests/golden/families/modernbert"
    net = ftc.compile(base, lora="Wqkv", lora_rank=2, threads=1)
    trained = {name for name in net.moments if name.endswith(".exp_avg")}
    assert all(".lora_" in name or name.startswith(("head.", "classifier.")) for name in trained) and len(trained) == 12
    net.step(ids=IDS, label=[1, 0, 2])
    net.save(tmp_path / "saved")
    assert not (tmp_path / "saved/model.safetensors").exists()
    again = ftc.compile(tmp_path / "saved", threads=1)
    assert np.array_equal(again.eval(ids=IDS).logits, net.eval(ids=IDS).logits)
    assert not np.array_equal(again.eval(ids=IDS).logits, ftc.compile(base, threads=1).eval(ids=IDS).logits)


def test_assigns_weights(model, net):
    other = ftc.Net(model, threads=1, weights=False)
    with pytest.raises(ftc.InputError, match="no weights"):
        other.verify()
    with pytest.raises(ftc.InputError, match="no weights"):
        other.eval(ids=IDS)
    other.assign({name: net.parameters[name] for name in net.parameters})
    assert np.array_equal(other.eval(ids=IDS).logits, net.eval(ids=IDS).logits)
    with pytest.raises(ftc.InputError, match="missing"):
        other.assign({"hidden.bias": np.zeros(128)})


def test_takes_options(models):
    net = ftc.compile(models / "mlp.ir", set={"hidden": 32, "labels": 2}, batch=4, max_length=8, calls=["eval"], threads=1)
    assert net.calls == ("eval",) and net.parameters["hidden.weight"].shape == (128, 32)
    assert net.extents["B"].most == 4 and net.extents["S"].most == 8
    with pytest.raises(ftc.InputError, match="step: the net was compiled without it"):
        net.step(ids=IDS, label=LABELS)
    assert net.gradients == {} and net.moments == {}
    with pytest.raises(ftc.InputError, match="did you mean"):
        ftc.compile(models / "mlp.ir", memoryy="2GB")


BAD = [
    (dict(ids=[[5, 99999]], label=[0]), ftc.InputError, "99999"),
    (dict(ids=[[5, -1]], label=[0]), ftc.InputError, "-1"),
    (dict(ids=[[5, 1 << 40]], label=[0]), ftc.InputError, "no int32"),
    (dict(ids=[[5, 1.5]], label=[0]), TypeError, "float64.*expected int32"),
    (dict(ids=[["a"]], label=[0]), TypeError, "expected int32"),
    (dict(ids="text", label=[0]), TypeError, "str"),
    (dict(ids=5, label=[0]), TypeError, "expected a list"),
    (dict(ids=[5, 6], label=[0, 0]), ftc.InputError, "0 axes"),
    (dict(ids=[[5]], label=[7]), ftc.InputError, "label.*7"),
    (dict(ids=[[5]], label=[[1]]), ftc.InputError, "2 axes: expected 1"),
    (dict(ids=[[5]], label=[1, 2]), ftc.InputError, "another number of elements"),
    (dict(ids=[[5]] * 33, label=[0] * 33), ftc.InputError, "33"),
    (dict(ids=[[5] * 129], label=[0]), ftc.InputError, "129"),
    (dict(ids=[], label=[]), ftc.InputError, "nothing along axis B"),
    (dict(ids=[5, 6], offsets=[0, 3], label=[0]), ftc.InputError, "2 cells, but the offsets say 3"),
    (dict(ids=[5, 6], offsets=[0, 2, 1], label=[0]), ftc.InputError, "do not decrease"),
    (dict(ids=[[5]], idz=[[5]], label=[0]), ftc.InputError, "did you mean 'ids'"),
    (dict(ids=[[5]], label=[0], lr="fast"), TypeError, "expected a number"),
    (dict(ids=[[5]], label=[0], lr=float("nan")), ftc.InputError, "lr"),
    (dict(ids=[[5]], label=[0], dropout=1.5), ftc.InputError, "dropout"),
]


@pytest.mark.parametrize("given, kind, message", BAD)
def test_refuses(net, given, kind, message):
    before = net.parameters["hidden.weight"].copy()
    with pytest.raises(kind, match=message):
        net.step(**given)
    assert np.array_equal(net.parameters["hidden.weight"], before)
    assert np.isfinite(net.step(ids=IDS, label=LABELS, lr=1e-3, dropout=0.1).loss)


def test_errors_carry_diagnostics(tmp_path, models):
    bad = tmp_path / "bad.ir"
    bad.write_text((models / "mlp.ir").read_text().replace("logits = linear", "logits = linaer"))
    with pytest.raises(ftc.InputError) as raised:
        ftc.compile(bad)
    assert "bad.ir:" in str(raised.value) and "^" in str(raised.value) and raised.value.status == 2
    with pytest.raises(ftc.InputError, match="nope"):
        ftc.compile("nope.ir")
    with pytest.raises(TypeError):
        ftc.compile(5)
    with pytest.raises(ValueError, match="code 0"):
        ftc.compile("a\0b")


def test_a_loss_that_is_not_finite(net):
    net.parameters["classifier.bias"][0] = np.inf
    with pytest.raises(ftc.TrainingError, match="loss is") as raised:
        net.step(ids=IDS, label=LABELS)
    assert raised.value.status == 1


def test_two_nets_in_two_threads(model):
    nets = [ftc.compile(model, threads=2, seed=7) for _ in range(2)]
    losses = [[], []]

    def train(i):
        for _ in range(100):
            losses[i].append(nets[i].step(ids=IDS, label=LABELS, lr=1e-3).loss)

    threads = [threading.Thread(target=train, args=(i,)) for i in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert losses[0] == losses[1] and losses[0][-1] < losses[0][0]


def test_one_net_in_two_threads(net):
    def train():
        for _ in range(100):
            net.step(ids=IDS, label=LABELS, lr=1e-3)

    threads = [threading.Thread(target=train) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert net.steps == 200


def test_a_fork_is_refused(model):
    """In a process of its own, since pytest's may have threads."""
    program = f"""
import os, ftc
net = ftc.compile({str(model)!r}, threads=2)
net.step(ids=[[5]], label=[1])
if os.fork() == 0:
    try:
        net.step(ids=[[5]], label=[1])
    except RuntimeError as error:
        own = ftc.compile({str(model)!r}, threads=2)
        del net
        os._exit(17 if "forked" in str(error) and own.step(ids=[[5]], label=[1]).loss > 0 else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 17
assert net.step(ids=[[5]], label=[1]).loss > 0
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_ctrl_c_ends_a_loop(net):
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    end = time.time() + 30
    with pytest.raises(KeyboardInterrupt):
        while time.time() < end:
            net.step(ids=IDS, label=LABELS, lr=1e-4)
    assert np.isfinite(net.step(ids=IDS, label=LABELS).loss)


def test_tokenizers_are_saved_as_they_were_read(models, tmp_path):
    shutil.copytree(models / "data/tokenizer", tmp_path / "cased")
    config = tmp_path / "cased/tokenizer_config.json"
    config.write_text('{"tokenizer_class": "BertTokenizer", "tokenize_chinese_chars": false}')
    for by_class in (False, True):
        tokenizer = ftc.Tokenizer(tmp_path / "cased", by_class=by_class)
        tokenizer.save_pretrained(tmp_path / str(by_class))
        saved = ftc.Tokenizer(tmp_path / str(by_class))
        np.testing.assert_array_equal(saved("The soup was good.")[0], tokenizer("The soup was good.")[0])
    with pytest.raises(ftc.InputError, match="OtherTokenizer"):
        config.write_text('{"tokenizer_class": "OtherTokenizer"}')
        ftc.Tokenizer(tmp_path / "cased", by_class=True)
