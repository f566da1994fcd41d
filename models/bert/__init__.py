"""BERT: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (2019).

An encoder whose tokens attend to all others, left and right. It is pre-trained by predicting masked tokens
(section 3.1) and fine-tuned for a task (section 3.2).

    encoder.py     the network
    tasks.py       pre-training and classification
    published.py   published weights
"""
