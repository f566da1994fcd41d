"""BERT: pre-trained, then fine-tuned to classify texts."""
