"""Writes tests/golden/language/bert-names.txt: the tensors of Hugging Face's BERT classifier, a name and its dimensions a line.

    make_bert_names.py > tests/golden/language/bert-names.txt
"""
from transformers import BertConfig, BertForSequenceClassification

config = BertConfig(vocab_size=1660, hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
                    intermediate_size=512, max_position_embeddings=128, type_vocab_size=2, num_labels=5)
for name, tensor in BertForSequenceClassification(config).named_parameters():
    print(name, *tensor.shape)
