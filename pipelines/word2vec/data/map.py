"""A map of words: the most frequent ones on a plane, near each other where their vectors point the same way."""

import numpy as np

from roadmap.io.json import JsonObject

MAPPED = 1_200  # words
SEED = 0


def places(vectors: np.ndarray) -> JsonObject:
    """x and y of each of the first MAPPED words, between -1 and 1.

    By t-SNE (van der Maaten and Hinton, 2008) on cosines, begun at the principal components: these alone show little
    but how frequent words are, since two of a hundred directions hold a tenth of the variance.

    vectors: [vocab, width], the most frequent word first
    """
    from sklearn.manifold import TSNE

    chosen = vectors[:MAPPED]
    unit = chosen / np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-12)
    perplexity = min(30.0, (len(unit) - 1) / 3)
    plane = TSNE(init="pca", perplexity=perplexity, max_iter=500, random_state=SEED, n_jobs=1).fit_transform(unit)
    plane -= plane.mean(axis=0)
    plane /= np.abs(plane).max(axis=0)
    return {"places": [[round(float(x), 3), round(float(y), 3)] for x, y in plane]}
