"""The predictor with small networks that were hardly trained: who writes, what is judged, what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from pydantic import ValidationError

from models.decoders.rlhf.grpo import GRPO
from models.decoders.rlhf.reference import Reference
from models.decoders.rlhf.reward import RewardModel
from models.decoders.rlhf.texts import predictions
from pipelines.rlhf.data import reviews
from pipelines.rlhf.data.tokens import byte_pairs, end_of
from pipelines.rlhf.evaluate import Evaluation
from pipelines.rlhf.predict import END, Judged, Predictor
from pipelines.rlhf.predict.rule import liked
from roadmap.bundle import Bundle, load_predictor, write_manifest
from roadmap.training.export import export
from serving.http.app import create_app
from serving.settings import Settings

PROMPT, NEW, HEX = 4, 12, "0" * 64


class Place:
    def __init__(self, home: Path) -> None:
        folder = home / "rlhf" / "bundle"
        folder.mkdir(parents=True)
        self.home, self.tokenizer = home, byte_pairs(reviews.generate(500, 1), 600)
        end = end_of(self.tokenizer)
        torch.manual_seed(0)
        optimizer: dict[str, Any] = {"lr": 0.01, "final_lr": 0.0, "warmup": 0, "weight_decay": 0.0, "beta2": 0.99}
        sizes: dict[str, Any] = {
            "layers": 1,
            "heads": 2,
            "width": 16,
            "positions": "rotary",
            "bias": False,
            "dropout": 0.0,
        }
        self.reference = Reference(vocab=self.tokenizer.get_vocab_size(), block=32, **sizes, **optimizer).eval()
        assert isinstance(self.reference.tokens, torch.nn.Embedding)
        with torch.no_grad():
            self.reference.tokens.weight.mul_(8)
        self.rewards = RewardModel(self.reference, PROMPT, end, 0.01, 0.0).eval()
        shared: dict[str, Any] = {"new": NEW, "end": end, "signal": "learned", "samples": 8, "rollouts": 1, "passes": 1}
        networks = {"reference": self.reference, "reward_model": self.rewards}
        self.policy = GRPO(**networks, **shared, group=2, beta=0.1, lr=0.1, clip=0.2).eval()
        with torch.no_grad():
            for parameter in self.policy.model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        example = np.ones((2, PROMPT + NEW), np.int64)
        for network in (self.reference, self.rewards, self.policy):
            export(network, (example,), folder)
        schema = {"tokenizer": "bpe", "vocab": 600, "prompt": PROMPT, "new": NEW, "judge": None, "block": 32}
        examples = [{"prompt": "the soup was", "max_tokens": NEW}, {"prompt": "we had", "max_tokens": NEW}]
        written = {"schema": schema, "tokenizer": json.loads(self.tokenizer.to_str()), "example": examples}
        for name, content in written.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        about = {"project": "rlhf", "predictor": "pipelines.rlhf.predict", "profile": "sample", "source": "x"}
        lineage = {"git_commit": None, "data_sha256": HEX, "params_sha256": HEX, "run": "r"}
        write_manifest(folder, **about, created="2026-11-30", **lineage)
        found = load_predictor(Bundle(folder))
        assert isinstance(found, Predictor)
        self.predictor = found

    def ask(self, *requests: dict[str, Any]) -> list[Judged]:
        return list(self.predictor.predict([self.predictor.Request.model_validate(one) for one in requests]))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("artifacts"))


ASKED: dict[str, Any] = {"prompt": "the soup was", "max_tokens": NEW, "temperature": 1.0, "seed": 3}


def test_both_models_write_in_one_batch_as_alone(place: Place) -> None:
    requests = [{**ASKED, "seed": n, "policy": ("aligned", "reference")[n % 2], "judge": n % 3 == 0} for n in range(40)]
    together, alone = place.ask(*requests), [place.ask(one)[0] for one in requests]
    assert [one.text for one in together] == [one.text for one in alone]
    assert len({one.text for one in together}) > 30
    for request, answer in zip(requests, together, strict=True):
        assert (answer.reward is None) == (answer.kl is None) == (not request["judge"])


def test_judgements_are_those_of_the_networks(place: Place) -> None:
    requests = [{**ASKED, "seed": n, "judge": True, "policy": ("aligned", "reference")[n % 2]} for n in range(6)]
    for request, answer in zip(requests, place.ask(*requests), strict=True):
        assert answer.kl and answer.perplexity
        ids = place.tokenizer.encode(request["prompt"] + answer.text).ids
        ids += [end_of(place.tokenizer)] * (answer.finish_reason == "stop")
        new = answer.usage.completion_tokens
        if len(ids) != answer.usage.total_tokens:  # a text that its tokenizer would write with other tokens
            continue
        tokens = torch.tensor([ids])
        with torch.no_grad():
            policy, reference = (predictions(one, tokens, new)[0] for one in (place.policy.model, place.reference))
            learned = place.rewards(tokens, torch.tensor([len(ids) - 1])).item()
        surprise = -reference.gather(-1, tokens[0, -new:, None]).mean()
        assert answer.kl == pytest.approx((policy.exp() * (policy - reference)).sum().item(), abs=1e-3)
        assert answer.perplexity == pytest.approx(surprise.exp().item(), rel=1e-3)
        assert answer.learned_reward == pytest.approx(learned, abs=1e-3)
        assert answer.reward == liked(answer.text)


def test_a_text_ends_with_its_line(place: Place) -> None:
    answers = place.ask(*({**ASKED, "seed": n, "max_tokens": 60} for n in range(30)))
    assert not any(END in one.text for one in answers)
    assert any(one.finish_reason == "stop" for one in answers)
    assert END in "".join(one.text for one in place.ask(*({**ASKED, "seed": n, "stop": []} for n in range(30))))


def test_texts_longer_than_the_context_are_judged_by_their_end(place: Place) -> None:
    asked = {**ASKED, "max_tokens": 80, "stop": [], "judge": True}
    (answer,) = place.ask(asked)
    assert answer.usage.completion_tokens == 80
    assert all(
        value is not None and np.isfinite(value) for value in (answer.kl, answer.perplexity, answer.learned_reward)
    )
    (nothing,) = place.ask({**ASKED, "max_tokens": 0, "judge": True})
    assert nothing.text == "" and nothing.kl is None


@pytest.mark.parametrize(
    ("changes", "where"),
    [({"policy": "mine"}, "policy"), ({"judge": "yes"}, "judge"), ({"prompt": ""}, "prompt"), ({"best": 1}, "best")],
)
def test_what_is_refused(place: Place, changes: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        place.ask({**ASKED, **changes})


def test_evaluation_plays_both_models(place: Place) -> None:
    targets = np.zeros(5, [("prompt", "U40"), ("seed", "i8"), ("new", "i8"), ("judge", "U1")])
    targets["prompt"], targets["new"] = "the soup was", NEW
    pairs = Evaluation().played(place.predictor, targets)
    assert [one.reward for one in pairs] == [liked(one.text) for one in pairs]
    assert [one.before for one in pairs] == [liked(one.before_text) for one in pairs]
    assert {one.text for one in pairs} != {one.before_text for one in pairs}
    assert Evaluation().score(targets, pairs).metrics["kl"] > 0


def test_over_http_and_as_openai_has_it(place: Place) -> None:
    with TestClient(create_app(Settings(bundles=str(place.home)))) as client:
        asked = [{**ASKED, "judge": True}, {**ASKED, "policy": "reference"}]
        outputs = client.post("/models/rlhf/predict", json={"inputs": asked}).json()["outputs"]
        assert outputs == [one.model_dump() for one in place.ask(*asked)]
        events = client.post("/models/rlhf/stream", json=asked[0]).text
        assert '"learned_reward"' in events and "event: done" in events
        body = {"model": "rlhf", "prompt": "the soup was", "max_tokens": NEW, "seed": 3}
        answer = client.post("/v1/completions", json=body)
        assert answer.status_code == 200 and answer.json()["choices"][0]["text"]
        refused = client.post("/models/rlhf/predict", json={"inputs": [{**ASKED, "policy": "mine"}]})
        assert refused.status_code == 422 and "policy" in refused.text
