"""Chat templates of bundles: which one, its special tokens, and the text that ends an answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from roadmap.bundle import BundleError, CallFormat
from roadmap.inference.language.chat import template_of
from tests.support.letters import CHATML, byte_level

ASKED = [{"role": "user", "content": "Hello"}]
LLAMA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)


class Folder:
    """A bundle of these files."""

    def __init__(self, folder: Path, files: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = type("Manifest", (), {"files": dict.fromkeys(files, "")})
        for name, content in files.items():
            (folder / name).write_text(content if name.endswith(".jinja") else json.dumps(content))

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


def of(folder: Path, tokenizer: Any = None, **files: Any) -> Any:
    named = {name.replace("__", "."): content for name, content in files.items()}
    return template_of(Folder(folder, named), tokenizer or byte_level("<|im_start|>", "<|im_end|>"))  # type: ignore[arg-type]


def test_a_template_in_jinja_comes_first(tmp_path: Path) -> None:
    formats = {"user": "{content}", "answer": "", "stop": ["x"]}
    template = of(tmp_path, chat_template__jinja=CHATML, chat_template__json=formats)
    assert template.prompt(ASKED) == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert template.stop == ["<|im_end|>"] and template.calls == CallFormat()


def test_format_strings_name_a_role_that_they_lack(tmp_path: Path) -> None:
    template = of(tmp_path, chat_template__json={"user": "Q: {content}\n", "answer": "A:", "stop": ["\n"]})
    assert template.prompt(ASKED) == "Q: Hello\nA:" and template.stop == ["\n"]
    with pytest.raises(ValueError, match="found a system; expected user"):
        template.prompt([{"role": "system", "content": "a"}])
    with pytest.raises(ValueError, match="no place for them"):
        template.prompt(ASKED, [{"type": "function"}])


@pytest.mark.parametrize("said", ["by the tokenizer", "by name", "as an object"])
def test_special_tokens_are_the_models_own(tmp_path: Path, said: str) -> None:
    tokenizer = byte_level("<s>", "</s>")
    files: dict[str, Any] = {"chat_template__jinja": LLAMA}
    if said == "by the tokenizer":
        ids = [(one, tokenizer.token_to_id(one)) for one in ("<s>", "</s>")]
        tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    else:
        end = "</s>" if said == "by name" else {"content": "</s>", "lstrip": False}
        files["special_tokens_map__json"] = {"bos_token": "<s>", "eos_token": end, "additional_special_tokens": []}
    template = of(tmp_path, tokenizer, **files)
    assert template.prompt(ASKED) == "<s>[INST] Hello [/INST]"
    assert template.stop == ["</s>"] and template.calls is None, "the template never mentions tools"


@pytest.mark.parametrize(
    ("template", "stop"),
    [
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n###\n{% endfor %}", ["###"]),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n\n{% endfor %}", ["\n\n"]),
        ("{% for m in messages %}{{ m.content }}<|im_end|>\n<|im_start|>{% endfor %}", ["<|im_end|>"]),
        ("{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}", []),
    ],
)
def test_an_answer_ends_at_what_the_template_writes_behind_it(tmp_path: Path, template: str, stop: list[str]) -> None:
    assert of(tmp_path, chat_template__jinja=template).stop == stop


def test_a_model_may_write_its_calls_otherwise(tmp_path: Path) -> None:
    own = {"begin": "<|python_tag|>", "end": "", "arguments": "parameters"}
    found = of(tmp_path, chat_template__jinja=CHATML, tool_calls__json=own).calls
    assert found == CallFormat("<|python_tag|>", "", "name", "parameters")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"chat_template__jinja": "{% if %}"}, "chat_template.jinja: chat template: line 1"),
        (
            {"chat_template__jinja": CHATML, "tool_calls__json": {"start": "<"}},
            "tool_calls.json: .*expected begin",
        ),
    ],
)
def test_a_broken_bundle_names_the_file(tmp_path: Path, files: dict[str, Any], reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        of(tmp_path, **files)
