"""Tiny bundles for the real predictors: hand-written graphs, no training, no torch."""

from collections.abc import Callable
from pathlib import Path

from roadmap.bundle import Manifest
from tests.support.bundles.control import control
from tests.support.bundles.images import cifar10, glyphs, mnist
from tests.support.bundles.series import stocks
from tests.support.bundles.tables import SURVIVORS, house_prices, titanic
from tests.support.bundles.text import chatbot, imdb, mini_gpt, translation, word2vec
from tests.support.bundles.writing import another, write

Maker = Callable[[Path], Manifest]
MAKERS: dict[str, Maker] = {"titanic": titanic, "house_prices": house_prices, "mnist": mnist}
ALL: dict[str, Maker] = {
    **MAKERS,
    "cifar10": cifar10,
    "imdb": imdb,
    "stocks": stocks,
    "mini_gpt": mini_gpt,
    "chatbot": chatbot,
    "translation": translation,
    "word2vec": word2vec,
    "control": control,
}

__all__ = [
    "ALL",
    "MAKERS",
    "SURVIVORS",
    "Maker",
    "another",
    "chatbot",
    "cifar10",
    "control",
    "glyphs",
    "house_prices",
    "imdb",
    "make_all",
    "mini_gpt",
    "mnist",
    "stocks",
    "titanic",
    "translation",
    "word2vec",
    "write",
]


def make_all(artifacts: Path, makers: dict[str, Maker] = MAKERS) -> Path:
    """artifacts/<project>/bundle for all of them."""
    for project, maker in makers.items():
        maker(artifacts / project / "bundle")
    return artifacts
