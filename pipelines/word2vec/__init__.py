"""word2vec: word vectors from plain text, in English and Chinese."""
