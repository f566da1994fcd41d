"""Translators before the Transformer: recurrent networks, without attention and with it.

Shapes: as in translator.py; `hidden` values in a state.
"""

from typing import Unpack

import torch
from torch import Tensor, nn

from models.translation.translator import State, Training, Translator, inside


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverses every row within its length; the padding stays. x: [n, s, d], lengths: [n]"""
    places = torch.arange(x.shape[1], device=x.device)
    index = torch.where(places < lengths[:, None], lengths[:, None] - 1 - places, places)  # [n, s]
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


class Maxout(nn.Module):
    """The larger of each two values (Goodfellow et al., "Maxout Networks", 2013), before the output layer of both
    networks: Cho et al., appendix A.1.2; Bahdanau et al., appendix A.2.2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, 2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]"""
        return self.linear(x).unflatten(-1, (-1, 2)).amax(dim=-1)


class GRU(Translator):
    """One vector for the whole source (Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014,
    section 2.2): the decoder begins with it and reads it beside every token. Dropout is on embeddings and output."""

    def __init__(self, vocab: int, width: int, hidden: int, dropout: float, **training: Unpack[Training]) -> None:
        super().__init__(vocab, width, dropout, **training)
        self.encoder = nn.GRU(width, hidden, batch_first=True)
        self.begin = nn.Linear(hidden, hidden)
        self.decoder = nn.GRU(width + hidden, hidden, batch_first=True)
        self.output = Maxout(width + 2 * hidden, width)

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[State, State]:
        """-> the encoder's last state [n, hidden]; the decoder's first, [n, hidden]"""
        states, _ = self.encoder(self.dropout(self.tokens(source)))
        last = (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2])
        context = states.gather(1, last)[:, 0]
        return (context,), (torch.tanh(self.begin(context)),)

    def step(self, tokens: Tensor, memory: State, state: State) -> tuple[Tensor, None, State]:
        x = self.dropout(self.tokens(tokens))
        context = memory[0][:, None].expand(-1, x.shape[1], -1)
        states, last = self.decoder(torch.cat([x, context], dim=-1), state[0][None])
        y = self.output(torch.cat([states, x, context], dim=-1))
        return self.logits(self.dropout(y)), None, (last[0],)


class AttentionGRU(Translator):
    """The decoder looks at every source word anew for each word it writes (Bahdanau et al., "Neural Machine
    Translation by Jointly Learning to Align and Translate", 2015, section 3). Dropout is on embeddings and output."""

    memory_axes = {1: "source"}  # noqa: RUF012

    def __init__(self, vocab: int, width: int, hidden: int, dropout: float, **training: Unpack[Training]) -> None:
        super().__init__(vocab, width, dropout, **training)
        self.forwards, self.backwards = (nn.GRU(width, hidden, batch_first=True) for _ in range(2))
        self.begin = nn.Linear(hidden, hidden)
        self.query, self.key = nn.Linear(hidden, hidden, bias=False), nn.Linear(2 * hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.cell = nn.GRUCell(width + 2 * hidden, hidden)
        self.output = Maxout(width + 3 * hidden, width)

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[State, State]:
        """-> lengths, annotations [n, s, 2 hidden], what the scores need of them [n, s, hidden]; the first state
        [n, hidden]

        An annotation knows what stands before its word and what stands behind it (section 3.2).
        """
        x = self.dropout(self.tokens(source))
        ahead, _ = self.forwards(x)
        back, _ = self.backwards(reverse(x, lengths))
        back = reverse(back, lengths)
        annotations = torch.cat([ahead, back], dim=-1)
        return (lengths, annotations, self.key(annotations)), (torch.tanh(self.begin(back[:, 0])),)

    def step(self, tokens: Tensor, memory: State, state: State) -> tuple[Tensor, Tensor, State]:
        (lengths, annotations, keys), (s,) = memory, state
        seen = inside(keys[:, :, 0], lengths)
        x = self.dropout(self.tokens(tokens))
        features, attention = [], []
        for word in x.unbind(dim=1):
            scores = self.score(torch.tanh(self.query(s)[:, None] + keys)).squeeze(-1)  # [n, s], section 3.1
            weights = scores.masked_fill(~seen, -torch.inf).softmax(dim=-1)
            context = (weights[:, None] @ annotations)[:, 0]  # equation 5
            s = self.cell(torch.cat([word, context], dim=-1), s)
            features.append(torch.cat([s, word, context], dim=-1))
            attention.append(weights)
        y = self.output(torch.stack(features, dim=1))
        return self.logits(self.dropout(y)), torch.stack(attention, dim=1), (s,)
