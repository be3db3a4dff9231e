"""What a comparison with PyTorch stands on. Where it does not hold, the comparison shows nothing, and says so."""

import torch


def check_ids(tokenizer, ids, most_unknown=0.01):
    """The texts consist of tokens that the vocabulary has, most have some, and not all are of one length."""
    tokens = [token for row in ids for token in row]
    unknown = tokens.count(tokenizer.unk_token_id) / max(len(tokens), 1)
    assert unknown <= most_unknown, f"{unknown:.0%} of all tokens are {tokenizer.unk_token}"
    empty = len(tokenizer("")["input_ids"])
    with_words = sum(len(row) > empty for row in ids)
    assert 2 * with_words > len(ids), f"only {with_words} of {len(ids)} texts have more than [CLS] and [SEP]"
    assert len(ids) == 1 or len({len(row) for row in ids}) > 1, f"every text has {len(ids[0])} tokens"


def check_dropout(model, inputs, drops):
    """Whether two passes in training differ, which they do where dropout is on."""
    was_training = model.training
    model.train()
    with torch.no_grad():
        first, second = (model(**inputs).logits for _ in range(2))
    model.train(was_training)
    assert torch.equal(first, second) != drops, f"dropout is {'off' if drops else 'on'}"
