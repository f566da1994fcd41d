"""Losses and estimates against values worked out by hand or exactly; texts as the model would write them by itself."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.decoders.rlhf import dpo, grpo, ppo
from models.decoders.rlhf.dpo import DPO
from models.decoders.rlhf.grpo import GRPO
from models.decoders.rlhf.policy import Policy
from models.decoders.rlhf.ppo import PPO
from models.decoders.rlhf.reference import Reference
from models.decoders.rlhf.reward import RewardModel
from models.decoders.rlhf.texts import k1, k2, k3, logprobs, mean_over, predictions

VOCAB, PROMPT, NEW, END = 12, 3, 7, 0
LR: dict[str, Any] = {"lr": 0.01, "final_lr": 0.0, "warmup": 0, "weight_decay": 0.0, "beta2": 0.99}
SHARED: dict[str, Any] = {
    "new": NEW,
    "end": END,
    "signal": "learned",
    "samples": 8,
    "rollouts": 1,
    "passes": 1,
    "lr": 0.01,
}


@pytest.fixture(scope="module")
def reference() -> Reference:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"layers": 2, "heads": 2, "width": 16, "positions": "rotary", "bias": False, "dropout": 0.0}
    model = Reference(vocab=VOCAB, block=32, **sizes, **LR).eval()
    assert isinstance(model.tokens, torch.nn.Embedding)
    with torch.no_grad():
        model.tokens.weight.mul_(12)  # far from uniform
    return model


@pytest.fixture(scope="module")
def reward_model(reference: Reference) -> RewardModel:
    torch.manual_seed(1)
    return RewardModel(reference, PROMPT, END, 0.01, 0.0).eval()


def written(reference: Reference, n: int = 8, seed: int = 3) -> tuple[Tensor, Tensor]:
    prompts = torch.randint(1, VOCAB, (n // 2, PROMPT), generator=torch.Generator().manual_seed(seed))
    return reference.write(prompts.repeat_interleave(2, 0), NEW, END, torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_texts_with_a_cache_are_those_without(reference: Reference) -> None:
    tokens, mask = written(reference, 64)
    generator, plain = torch.Generator().manual_seed(3), tokens[:, :PROMPT]
    for _ in range(NEW):
        drawn = torch.multinomial(reference(plain)[:, -1].softmax(dim=-1), 1, generator=generator)
        plain = torch.cat([plain, drawn], dim=1)
    for whole, text, counts in zip(plain.tolist(), tokens.tolist(), mask.tolist(), strict=True):
        new = whole[PROMPT:]
        length = new.index(END) + 1 if END in new else NEW
        assert text[PROMPT:] == new[:length] + [END] * (NEW - length)
        assert counts == [True] * length + [False] * (NEW - length)
    assert 0 < mask[:, -1].float().mean() < 1, "some end, and some do not"


@torch.no_grad()
def test_logprobs_are_those_of_the_tokens_that_were_written(reference: Reference) -> None:
    tokens, mask = written(reference)
    found = logprobs(reference, tokens, NEW)
    for row in range(len(tokens)):
        for t in range(NEW):
            chances = reference(tokens[row : row + 1, : PROMPT + t])[0, -1].log_softmax(dim=-1)
            assert found[row, t] == pytest.approx(chances[tokens[row, PROMPT + t]].item(), abs=1e-4)
    assert mean_over(found, mask)[0] == pytest.approx(found[0][mask[0]].mean().item())
    assert predictions(reference, tokens, NEW).exp().sum(dim=-1).allclose(torch.ones(len(tokens), NEW))


def test_k1_and_k3_have_the_mean_of_the_exact_divergence_and_k2_has_not() -> None:
    """Expectations over all outcomes, no samples: Schulman's estimates of KL(p, q)."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, generator=generator, dtype=torch.float64)
    p, q = logits.softmax(0), (logits + 0.4 * torch.randn(50, generator=generator, dtype=torch.float64)).softmax(0)
    exact, ratio = float((p * (p / q).log()).sum()), (q / p).log()
    means = {estimate.__name__: float((p * estimate(ratio)).sum()) for estimate in (k1, k2, k3)}
    assert means["k1"] == pytest.approx(exact) and means["k3"] == pytest.approx(exact)
    assert means["k2"] != pytest.approx(exact, rel=1e-3)
    deviations = [float((p * (one(ratio) - exact).square()).sum().sqrt()) for one in (k1, k3)]
    assert k3(ratio).min() >= 0 and deviations[1] < deviations[0] / 2


def test_the_loss_of_dpo_by_hand() -> None:
    """Equation 7: the preferred text is e times likelier than under the reference, the other one half as likely."""
    policy = torch.tensor([[-3.0, -5.0 - math.log(2)]])
    reference = torch.tensor([[-4.0, -5.0]])
    expected = math.log(1 + math.exp(-0.5 * (1 + math.log(2))))
    assert dpo.loss(policy, reference, 0.5).item() == pytest.approx(expected)


def test_the_loss_of_dpo_as_in_trl(reference: Reference, reward_model: RewardModel) -> None:
    """trl's DPOTrainer with loss_type sigmoid: -logsigmoid(beta * (logratios - ref_logratios))."""
    policy = changed(DPO(reference=reference, reward_model=reward_model, group=2, beta=0.3, **SHARED))
    tokens, mask = written(reference)
    rewards = torch.arange(8.0)  # the second of each pair is better
    loss = policy.training_step(policy.examples(tokens, mask, rewards), 0)
    sums = [(logprobs(model, tokens, NEW) * mask).sum(dim=1).view(-1, 2) for model in (policy.model, policy.reference)]
    logratios, ref_logratios = (each[:, 1] - each[:, 0] for each in sums)
    assert loss.item() == pytest.approx(-F.logsigmoid(0.3 * (logratios - ref_logratios)).mean().item(), rel=1e-5)


def changed(policy: Any) -> Any:
    """As after some steps."""
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5)))
    return policy


def test_advantages_of_grpo_by_hand() -> None:
    """Section 4.1.2: of rewards 1, 2, 3 the mean is 2 and the deviation 1; of equal ones nothing is learnt."""
    found = grpo.advantages(torch.tensor([1.0, 2.0, 3.0, 5.0, 5.0, 5.0]), 3)
    np.testing.assert_allclose(found, [-1, 0, 1, 0, 0, 0], atol=1e-3)


def test_the_loss_of_grpo_by_hand(reference: Reference, reward_model: RewardModel) -> None:
    """Equation 3, text by text and token by token."""
    policy = changed(GRPO(reference=reference, reward_model=reward_model, group=2, beta=0.3, clip=0.1, **SHARED))
    tokens, mask = written(reference)
    batch = [part.detach() for part in policy.examples(tokens, mask, torch.arange(8.0).square())]
    batch[2] = batch[3]  # the old policy is the reference, from which the new one is far
    now = logprobs(policy.model, tokens, NEW).detach()
    texts = []
    for row in range(8):
        gains = []
        for t in range(int(mask[row].sum())):
            ratio, advantage = math.exp(now[row, t] - batch[2][row, t]), float(batch[4][row])
            back = float(batch[3][row, t] - now[row, t])
            gain = min(ratio * advantage, min(max(ratio, 0.9), 1.1) * advantage)
            gains.append(gain - 0.3 * (math.exp(back) - back - 1))
        texts.append(np.mean(gains))
    assert policy.training_step(tuple(batch), 0).item() == pytest.approx(-np.mean(texts), rel=1e-4)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "moves"),
    [(1.5, 2.0, -2.4, False), (0.5, 2.0, -1.0, True), (1.5, -2.0, 3.0, True), (0.5, -2.0, 1.6, False)],
)
def test_ppo_clips_only_what_would_gain(ratio: float, advantage: float, loss: float, moves: bool) -> None:
    """Schulman, figure 1."""
    r = torch.tensor(ratio, requires_grad=True)
    found = ppo.policy_loss(r, torch.tensor(advantage), 0.2)
    found.backward()
    assert found.item() == pytest.approx(loss) and bool(r.grad) is moves


def test_generalised_advantages_by_hand() -> None:
    rewards, values = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.5, 0.25, 0.0]])
    mask = torch.tensor([[True, True, False]])
    last = 1 - 0.25
    np.testing.assert_allclose(ppo.advantages(rewards, values, mask, 0.5), [[0.25 - 0.5 + 0.5 * last, last, 0]])
    whole = ppo.advantages(rewards, values, mask, 1.0)
    np.testing.assert_allclose(whole, [[1 - 0.5, 1 - 0.25, 0]], err_msg="lambda 1: the return minus the value")


def test_rewards_of_ppo_are_the_score_less_the_divergence(reference: Reference, reward_model: RewardModel) -> None:
    own = {"group": 1, "beta": 0.3, "clip": 0.2, "trace": 1.0, "value": 0.1}
    policy = changed(PPO(reference=reference, reward_model=reward_model, **own, **SHARED))
    tokens, mask = written(reference)
    scores = torch.arange(8.0)
    *_, before, advantages, returns = policy.examples(tokens, mask, scores)
    gap = (logprobs(policy.model, tokens, NEW) - logprobs(policy.reference, tokens, NEW)) * mask
    np.testing.assert_allclose(returns[:, 0].detach(), (scores - 0.3 * gap.sum(dim=1)).detach(), rtol=1e-4, atol=1e-4)
    some = advantages[mask].detach()
    assert some.mean().abs() < 1e-5 and some.std().item() == pytest.approx(1, abs=1e-4)
    assert before.shape == (8, NEW)


METHODS = {
    "grpo": lambda **k: GRPO(group=4, beta=0.1, clip=0.2, **k),
    "ppo": lambda **k: PPO(group=1, beta=0.1, clip=0.2, trace=0.95, value=0.1, **k),
    "dpo": lambda **k: DPO(group=2, beta=0.1, **k),
}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_learns_to_write_what_is_rewarded(
    method: str, reference: Reference, reward_model: RewardModel
) -> None:
    """A reward for every 5; the reference stays what it was."""
    torch.manual_seed(0)
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    policy: Policy = METHODS[method](
        reference=reference, reward_model=reward_model, **{**SHARED, "samples": 64, "rollouts": 12, "signal": "rule"}
    )
    prompts = torch.randint(1, VOCAB, (32, PROMPT), generator=torch.Generator().manual_seed(3))

    def fives(tokens: Tensor) -> Tensor:
        return (tokens[:, PROMPT:] == 5).sum(dim=1).float()

    loader = policy.rollouts_on(prompts, fives, 32, 0)
    optimizer = torch.optim.Adam([p for p in policy.parameters() if p.requires_grad], 0.01)
    steps = 0
    for batch in loader:
        optimizer.zero_grad()
        loss: Any = policy.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        steps += 1
    assert steps == len(loader)
    many = prompts.repeat(8, 1)
    rewards = [
        fives(model.write(many, NEW, END, torch.Generator().manual_seed(1))[0]).mean() for model in (policy, reference)
    ]
    assert rewards[0] > rewards[1] + 0.5
    for name, value in policy.reference.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_reward_model_reads_a_text_where_it_ends(reward_model: RewardModel) -> None:
    tokens = torch.tensor([[1, 2, 3, 4, END, END, END], [1, END, 3, 4, 5, 6, 7]])
    assert reward_model.last(tokens).tolist() == [4, 6], "an end in the prompt ends nothing"
    other = tokens.clone()
    other[0, 5:] = 9
    assert reward_model.scores(tokens)[0].item() == pytest.approx(reward_model.scores(other)[0].item())
