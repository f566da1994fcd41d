"""The beam over exported graphs writes what a plain loop over the network does, for several sources at once."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from models.translation.gru import GRU, AttentionGRU
from models.translation.transformer import Transformer
from models.translation.translator import BEGIN, END, PAD
from models.translation.translator import Translator as Network
from roadmap.inference.seq2seq.beam import Hypothesis, Translator, largest, length_penalty
from roadmap.training.export import export

VOCAB, UNKNOWN, ALPHA = 12, 3, 0.6
NEVER = (PAD, BEGIN, UNKNOWN)
SOURCES = [[4, 5, 6, 7, 8], [9], [10, 4, 11], [7, 7, 7, 7], [5, 11]]
NETWORKS: dict[str, Callable[[], Network]] = {
    "gru": lambda: GRU(VOCAB, 8, 12, 0.0),
    "attention": lambda: AttentionGRU(VOCAB, 8, 12, 0.0),
    "transformer": lambda: Transformer(VOCAB, 8, 2, 2, 16, 0.0),
    "rotary": lambda: Transformer(VOCAB, 8, 1, 2, 16, 0.0, positions="rotary", pre_norm=True),
}


@pytest.fixture(scope="module", params=NETWORKS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Translator]:
    """A network that is sure of some tokens, and the same in ONNX Runtime."""
    torch.manual_seed(3)
    network = NETWORKS[request.param]().eval()
    with torch.no_grad():
        network.tokens.weight.mul_(4)
    folder = tmp_path_factory.mktemp(request.param)
    export(network, (np.array([[4, 5, 6], [7, 8, PAD]], np.int32), np.array([3, 2])), folder)
    graphs = [onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("encoder", "decoder")]
    return network, Translator(graphs[0], graphs[1], never=NEVER)


@torch.no_grad()
def plain(network: Network, source: list[int], most: int, beam: int) -> list[tuple[list[int], float, bool]]:
    """Beam search of one source that reads every hypothesis from its beginning: tokens, score, whether it ended."""
    alive, ended = [(list[int](), 0.0)], list[tuple[list[int], float, bool]]()
    for _ in range(most):
        candidates = []
        for tokens, score in alive:
            target: Tensor = torch.tensor([[BEGIN, *tokens]])
            chances = network(torch.tensor([source]), torch.tensor([len(source)]), target)[0, -1].log_softmax(-1)
            candidates += [([*tokens, t], score + float(chances[t])) for t in range(VOCAB) if t not in NEVER]
        candidates.sort(key=lambda one: -one[1])
        alive = []
        for tokens, score in candidates[: beam - len(ended)]:
            if tokens[-1] == END or len(tokens) == most:
                done = tokens[-1] == END
                ended.append((tokens[:-1] if done else tokens, score / length_penalty(len(tokens), ALPHA), done))
            else:
                alive.append((tokens, score))
    return sorted(ended, key=lambda one: -one[1])


@pytest.mark.parametrize("beam", [1, 3, 5])
def test_the_beam_is_that_of_a_plain_loop(both: tuple[Network, Translator], beam: int) -> None:
    network, translator = both
    most = [9, 4, 9, 6, 9]
    found = translator.translate(SOURCES, most, beam, ALPHA)
    for source, limit, hypotheses in zip(SOURCES, most, found, strict=True):
        expected = plain(network, source, limit, beam)
        assert [one.tokens for one in hypotheses] == [tokens for tokens, _, _ in expected]
        assert [one.score for one in hypotheses] == pytest.approx([score for _, score, _ in expected], abs=1e-4)
        assert [one.ended for one in hypotheses] == [done for _, _, done in expected]


def test_a_beam_of_one_is_greedy(both: tuple[Network, Translator]) -> None:
    network, translator = both
    translator = Translator(translator.encoder, translator.decoder, never=())
    found = translator.translate(SOURCES, [9] * len(SOURCES), 1, ALPHA)
    for source, (one,) in zip(SOURCES, found, strict=True):
        (written,) = network.greedy(torch.tensor([source]), torch.tensor([len(source)]), most=9)
        assert one.tokens == written


def test_what_is_written_does_not_depend_on_the_company(both: tuple[Network, Translator]) -> None:
    translator = both[1]
    together = translator.translate(SOURCES, [9] * len(SOURCES), 3, ALPHA)
    for source, expected in zip(SOURCES, together, strict=True):
        (alone,) = translator.translate([source], [9], 3, ALPHA)
        assert [one.tokens for one in alone] == [one.tokens for one in expected]


@torch.no_grad()
def test_attention_follows_its_hypothesis(both: tuple[Network, Translator]) -> None:
    network, translator = both
    found = translator.translate(SOURCES, [9] * len(SOURCES), 3, ALPHA, attention=True)
    for source, hypotheses in zip(SOURCES, found, strict=True):
        for one in hypotheses:
            if not translator.attends:
                assert one.attention is None
                continue
            target = torch.tensor([[BEGIN, *one.tokens]])
            memory, state = network.encode(torch.tensor([source]), torch.tensor([len(source)]))
            _, expected, _ = network.step(target, memory, state)
            assert one.attention is not None and expected is not None
            np.testing.assert_allclose(one.attention, expected[0, : len(one.tokens)], atol=1e-5)


def test_a_larger_penalty_prefers_longer_hypotheses() -> None:
    """Equation 14 of Wu et al. (2016)."""
    assert length_penalty(1, 0.6) == 1 and length_penalty(7, 1.0) == 2
    short, long = Hypothesis([4], -2.0, True), Hypothesis([4] * 9, -2.4, True)
    scores = {
        alpha: [one.score / length_penalty(len(one.tokens) + 1, alpha) for one in (short, long)] for alpha in (0, 1)
    }
    assert scores[0][0] > scores[0][1] and scores[1][0] < scores[1][1]


def test_the_largest_come_in_order() -> None:
    values = np.random.default_rng(0).normal(size=(3, 50))
    values[1, 5:] = -np.inf
    found = largest(values, 4)
    assert found.tolist() == np.argsort(-values, axis=1)[:, :4].tolist()
