"""ftc.Trainer with a PeftModel, beside transformers.Trainer: skipped where there is no peft."""

import os

import numpy as np
import pytest
from trainers import accuracy, assert_same_logs, make_rows, quiet_arguments

import ftc


@pytest.fixture
def peft(hf):
    return pytest.importorskip("peft", reason="no peft, for the training of its adapters")


def make_adapted(hf, peft, directory, auto=None, **lora):
    import torch

    torch.manual_seed(0)
    config = hf.AutoConfig.from_pretrained(directory).to_dict()
    dropouts = {name: 0.0 for name in config if name.endswith(("dropout", "dropout_prob"))}
    model = (auto or hf.AutoModelForSequenceClassification).from_pretrained(directory, **dropouts)
    lora = {"task_type": "SEQ_CLS", "r": 4, "lora_alpha": 8, "target_modules": ["query", "value"]} | lora
    return peft.get_peft_model(model, peft.LoraConfig(**lora))


def adapt(hf, peft, kind, directory, output, lora=None, resume=None, **arguments):
    model = make_adapted(hf, peft, directory, **(lora or {}))
    arguments = {"learning_rate": 1e-2, "save_strategy": "epoch", "weight_decay": 0.1} | arguments
    args = quiet_arguments(hf, output, **arguments)
    collator = hf.DataCollatorWithPadding(hf.AutoTokenizer.from_pretrained(directory))
    trainer = kind(
        model=model,
        args=args,
        data_collator=collator,
        train_dataset=make_rows(50, 1),
        eval_dataset=make_rows(20, 2),
        compute_metrics=accuracy,
    )
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_model()
    return trainer


RUNS = [
    {},
    {"target_modules": "all-linear", "modules_to_save": ["classifier", "pooler.dense"]},
    {"task_type": None, "target_modules": ".*1.*query"},
]


@pytest.mark.parametrize("lora", RUNS)
def test_equals_transformers(hf, peft, tiny, tmp_path, lora):
    theirs = adapt(hf, peft, hf.Trainer, tiny, tmp_path / "theirs", lora)
    ours = adapt(hf, peft, ftc.Trainer, tiny, tmp_path / "ours", lora)
    assert_same_logs(ours, theirs, ignored=["flos"])
    counted = theirs.model.num_parameters(exclude_embeddings=True)  # a module that PEFT copies twice
    copied = sum(p.numel() for name, p in theirs.model.named_parameters() if ".original_module." in name)
    assert ours.state.total_flos == pytest.approx(theirs.state.total_flos * (counted - copied) / counted)
    for (name, right), (same, mine) in zip(theirs.model.named_parameters(), ours.model.named_parameters()):
        assert name == same and np.allclose(mine.detach(), right.detach(), atol=1e-3), name
    trained = sum(p.numel() for p in ours.model.parameters() if p.requires_grad)
    assert sum(one.size for name, one in ours.net.moments.items() if name.endswith("exp_avg")) == trained
    assert set(os.listdir(tmp_path / "ours")) == set(os.listdir(tmp_path / "theirs"))
    base = hf.AutoModelForSequenceClassification.from_pretrained(tiny)
    again = peft.PeftModel.from_pretrained(base, tmp_path / "ours").state_dict()
    for name, right in theirs.model.state_dict().items():
        if "lora_" in name or "modules_to_save" in name:
            assert np.allclose(again[name], right, atol=1e-3), name


def test_resumes_to_the_same_bits(hf, peft, tiny, tmp_path):
    whole = adapt(hf, peft, ftc.Trainer, tiny, tmp_path / "whole")
    resumed = adapt(hf, peft, ftc.Trainer, tiny, tmp_path / "resumed", resume=str(tmp_path / "whole/checkpoint-7"))
    assert resumed.state.global_step == 14
    for (name, right), mine in zip(whole.model.named_parameters(), resumed.model.parameters()):
        assert np.array_equal(mine.detach(), right.detach()), name


@pytest.mark.parametrize(
    "lora, message",
    [
        ({"use_dora": True}, "LoraConfig use_dora=True"),
        ({"use_rslora": True}, "LoraConfig use_rslora=True"),
        ({"bias": "lora_only"}, "LoraConfig bias='lora_only'"),
        ({"rank_pattern": {"query": 2}}, "LoraConfig rank_pattern="),
        (
            {"target_modules": ["word_embeddings"]},
            "adapters of other modules than linear ones: bert.embeddings.word_embeddings",
        ),
    ],
)
def test_refuses_what_is_no_plain_adapter(hf, peft, tiny, tmp_path, lora, message):
    model = make_adapted(hf, peft, tiny, **lora)
    with pytest.raises(NotImplementedError, match=message):
        ftc.Trainer(model, hf.TrainingArguments(str(tmp_path), report_to="none"))


def test_refuses_several_adapters_and_others(hf, peft, tiny, tmp_path):
    model = make_adapted(hf, peft, tiny)
    model.add_adapter("second", peft.LoraConfig(task_type="SEQ_CLS", target_modules=["key"]))
    args = hf.TrainingArguments(str(tmp_path), report_to="none")
    with pytest.raises(NotImplementedError, match="the adapters default, second"):
        ftc.Trainer(model, args)
    base = hf.AutoModelForSequenceClassification.from_pretrained(tiny)
    with pytest.raises(NotImplementedError, match="adapters by IA3Config"):
        other = peft.IA3Config(task_type="SEQ_CLS", target_modules=["key"], feedforward_modules=[])
        ftc.Trainer(peft.get_peft_model(base, other), args)
