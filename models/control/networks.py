"""Parts of the networks: layers, and observations brought to one scale."""

import math

import torch
from torch import Tensor, nn


def layer(inputs: int, outputs: int, gain: float, orthogonal: bool = True) -> nn.Linear:
    """Orthogonal weights of a gain, and biases of 0; or PyTorch's own."""
    made = nn.Linear(inputs, outputs)
    if orthogonal:
        nn.init.orthogonal_(made.weight, gain)
        nn.init.zeros_(made.bias)
    return made


def tanh_layers(inputs: int, hidden: int, outputs: int, gain: float, orthogonal: bool = True) -> nn.Sequential:
    """Two hidden layers. gain: of the last one"""
    one, two = layer(inputs, hidden, math.sqrt(2), orthogonal), layer(hidden, hidden, math.sqrt(2), orthogonal)
    return nn.Sequential(one, nn.Tanh(), two, nn.Tanh(), layer(hidden, outputs, gain, orthogonal))


class Moments(nn.Module):
    """Mean and variance of all that was added so far."""

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def add(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Of another part (Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances", 1979, equation 2.1)."""
        total = self.count + count
        shift = mean - self.mean
        squares = self.variance * self.count + variance * count + shift.square() * self.count * count / total
        self.mean += shift * count / total
        self.variance.copy_(squares / total)
        self.count.copy_(total)

    @torch.no_grad()
    def add_rows(self, rows: Tensor) -> None:
        """rows: [m, size]"""
        rows = rows.double()
        self.add(rows.mean(dim=0), rows.var(dim=0, correction=0), rows.new_tensor(len(rows)))


class Normaliser(nn.Module):
    """Observations of mean 0 and variance 1, by all that were seen, within +-10 (Huang et al., 2022, details 5 and 6 of
    continuous actions).

    What is noted counts after `renew`. So a rollout is learnt from on the scale on which it was acted: if the scale
    moved in between, so would the policy.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.known, self.noted = Moments(size), Moments(size)

    def forward(self, observations: Tensor) -> Tensor:
        """[n, size] -> [n, size]"""
        scaled = (observations - self.known.mean.float()) * (self.known.variance + 1e-8).rsqrt().float()
        return scaled.clamp(-10, 10)

    def note(self, observations: Tensor) -> None:
        """observations: [m, size]"""
        self.noted.add_rows(observations)

    def renew(self) -> None:
        if self.noted.count > 0:
            self.known.add(self.noted.mean, self.noted.variance, self.noted.count)
            self.noted.count.zero_()
