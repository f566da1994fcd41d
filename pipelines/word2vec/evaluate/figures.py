"""Evaluation plots of word vectors."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pipelines.word2vec.predict import Near
from roadmap.evaluation.plots import BLUE, GREY


def map_of_words(words: list[Near]) -> Figure:
    """The most frequent words at their places."""
    figure, ax = plt.subplots(figsize=(9, 9))
    for one in words:
        if one["x"] is not None and one["y"] is not None:
            ax.text(one["x"], one["y"], one["word"], fontsize=7, color=BLUE, ha="center", va="center", parse_math=False)
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xticks=[], yticks=[], title="Map of the most frequent words (t-SNE)")
    return figure


def analogies(shares: dict[str, float]) -> Figure:
    """The share of analogies answered, by relation."""
    ranked = sorted(shares.items(), key=lambda one: one[1])
    figure, ax = plt.subplots(figsize=(6.4, 0.34 * len(ranked) + 1.4))
    ax.barh([name for name, _ in ranked], [share for _, share in ranked], color=GREY)
    for place, (_, share) in enumerate(ranked):
        ax.annotate(f"{share:.2f}", (share, place), va="center", fontsize=8)
    ax.set(title="Analogies answered", xlim=(0, 1.05), xlabel="share")
    return figure
