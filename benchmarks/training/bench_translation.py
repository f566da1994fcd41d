"""Training speed of our Transformer against torch.nn.Transformer: same weights, batches, loss and optimiser.

    python -m benchmarks.training.bench_translation [--steps 30] [--rounds 9] [--width 192] [--layers 2] [--length 24]

Both have no dropout: PyTorch's drops attention weights and hidden values as well, which is more work for the same
setting. The two take turns; the interval is of the mean ratio over rounds. Before the first round their logits are
compared.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import machine
from models.translation.transformer import Transformer
from models.translation.translator import BEGIN, PAD

VOCAB, BATCH, SEED = 4000, 64, 0


class Reference(nn.Module):
    """torch.nn.Transformer between the same embedding, positions and output."""

    def __init__(self, ours: Transformer, heads: int, layers: int, hidden: int) -> None:
        super().__init__()
        self.ours = ours
        self.transformer = nn.Transformer(
            ours.width, heads, layers, layers, hidden, dropout=0.0, batch_first=True, norm_first=False
        )
        self.transformer.encoder.norm = self.transformer.decoder.norm = None
        for name, own in (("encoder", "self_attn"), ("decoder", "self_attn")):
            for mine, theirs in zip(getattr(ours, name), getattr(self.transformer, name).layers, strict=True):
                pairs = [(mine.attention, getattr(theirs, own))]
                pairs += [(mine.cross, theirs.multihead_attn)] if name == "decoder" else []
                with torch.no_grad():
                    for attention, packed in pairs:
                        packed.in_proj_weight.copy_(torch.cat([attention.q.weight, attention.kv.weight]))
                        packed.in_proj_bias.copy_(torch.cat([attention.q.bias, attention.kv.bias]))
                        packed.out_proj.load_state_dict(attention.project.state_dict())
                theirs.linear1.load_state_dict(mine.expand.state_dict())
                theirs.linear2.load_state_dict(mine.contract.state_dict())

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """source: int [b, s], lengths: int [b], target: int [b, t] -> logits [b, t, vocabulary]"""
        padding = torch.arange(source.shape[1]) >= lengths[:, None]
        x = self.transformer(
            self.ours.embed(source, 0)[0],
            self.ours.embed(target, 0)[0],
            tgt_mask=torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1),
            tgt_is_causal=True,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        return self.ours.logits(x)


def batches(count: int, length: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Random tokens; the lengths of sources lie between half of `length` and all of it.

    Each: source int [BATCH, length], lengths int [BATCH], target int [BATCH, length].
    """
    generator = torch.Generator().manual_seed(SEED)
    made = []
    for _ in range(count):
        source, target = (torch.randint(3, VOCAB, (BATCH, length), generator=generator) for _ in range(2))
        lengths = torch.randint(length // 2, length + 1, (BATCH,), generator=generator)
        target[:, 0] = BEGIN
        made.append((source.masked_fill(torch.arange(length) >= lengths[:, None], PAD), lengths, target))
    return made


def train(model: nn.Module, data: list[tuple[Tensor, Tensor, Tensor]]) -> float:
    """Target tokens a CPU-second. data: as from `batches`."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, betas=(0.9, 0.98), eps=1e-9, fused=True)
    started = time.process_time()
    for source, lengths, target in data:
        logits = model(source, lengths, target[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return len(data) * BATCH * (data[0][2].shape[1] - 1) / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30, help="of each round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--length", type=int, default=24, help="tokens of a sentence")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    heads, hidden = args.width // 32, 4 * args.width
    ours = Transformer(VOCAB, args.width, args.layers, heads, hidden, dropout=0.0)
    reference = Reference(ours, heads, args.layers, hidden)
    data = batches(args.steps, args.length)
    with torch.no_grad():
        apart = (ours(*data[0]) - reference(*data[0])).abs().max().item()
    print(machine.line())
    print(f"width {args.width}, {args.layers} layers, batch {BATCH} x {args.length}, {torch.get_num_threads()} threads")
    print(f"logits differ by at most {apart:.1e}")
    rates: dict[str, list[float]] = {"torch.nn.Transformer": [], "ours": []}
    for model in (reference, ours):
        train(model, data[:3])  # the first steps are slow
    for turn in range(args.rounds):
        pair = [("torch.nn.Transformer", reference), ("ours", ours)]
        for name, network in pair[:: 1 if turn % 2 else -1]:
            rates[name].append(train(network, data))
    for name, found in rates.items():
        print(f"{name:20s} {statistics.median(found):9,.0f} target tokens a CPU-second")
    ratios = np.log(np.array(rates["ours"]) / np.array(rates["torch.nn.Transformer"]))
    half = stats.t.ppf(0.975, args.rounds - 1) * ratios.std(ddof=1) / np.sqrt(args.rounds)
    middle, low, high = np.exp(ratios.mean() + half * np.array([0, -1, 1]))
    print(f"ours is {middle:.2f}x (95% interval {low:.2f}x to {high:.2f}x, {args.rounds} rounds)")


if __name__ == "__main__":
    main()
