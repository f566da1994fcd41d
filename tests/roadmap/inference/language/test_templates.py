"""Chat templates in Jinja: the text of transformers, and no way to run for ever."""

from typing import Any

import pytest

from roadmap.inference.language.templates import Template

CHATML = """\
{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
TOOLS = """\
{{ bos_token }}{%- set ns = namespace(system='') -%}
{%- for m in messages if m.role == 'system' %}{%- set ns.system = ns.system ~ m.content %}{%- endfor -%}
{%- if tools is not none %}[TOOLS]{{ tools | tojson }}[/TOOLS]{%- endif -%}
{%- for m in messages | rejectattr('role', 'equalto', 'system') %}
    {%- if m.tool_calls is defined and m.tool_calls %}
        {%- for call in m.tool_calls %}{{ call.function.name }}
            {{- call.function.arguments | tojson(indent=2) }}{%- endfor %}
    {%- elif m.role == 'assistant' %}
        {%- generation %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}{{ eos_token }}{%- endgeneration %}
    {%- else %}[INST] {{ (ns.system + ' ' if loop.first and ns.system else '') + m.content }} [/INST]{%- endif %}
    {%- if not loop.last %}{%- continue %}{%- endif %}!
{%- endfor %}
"""
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " What is the weather in 伯尔尼? <b>&amp;</b>"},
    {"role": "assistant", "content": "<think>\nhm</think>\n\nSun."},
    {"role": "user", "content": "Thanks"},
]
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "伯"}}}],
}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "It's <fast> & good"}}
TWICE = "{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("template", [CHATML, TOOLS])
@pytest.mark.parametrize("messages", [CHAT, CHAT[1:], [*CHAT[:2], CALL, {"role": "tool", "content": "sun"}]])
@pytest.mark.parametrize("tools", [[], [WEATHER]])
@pytest.mark.parametrize("answer", [True, False])
def test_the_text_is_that_of_transformers(template: str, messages: list[Any], tools: list[Any], answer: bool) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    options: dict[str, Any] = {"add_generation_prompt": answer, **SPECIAL}
    found = render_jinja_template([messages], tools=tools or None, chat_template=template, **options)
    assert Template(template).prompt(messages, tools, answer, **SPECIAL) == found[0][0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for %}", "line 1: found Expected an expression"),
        ("\n{{ 'a' | shout }}", "line 2: found No filter named 'shout'"),
        ("x" * 100_001, "found 100,001 characters; expected at most 100,000"),
    ],
)
def test_what_is_no_template_is_refused_at_once(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Template(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ range(99999) | list | length }}{% endfor %}",
        "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'a' * 999999999 }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ '%0999999999d' % 1 }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ 'a'.ljust(9999999999) }}",
        "{{ ('a' * 99999).replace('a', 'b' * 99999) }}",
        "{{ (['a'] * 99999) | join('b' * 99999) }}",
        "{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set ns = namespace(a='x') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        TWICE + "{{ ns.a }}",
        TWICE + "{{ ns.a | tojson }}",
        "{% for i in range(99999) %}{{ 'a' * 999999 }}{% endfor %}",
    ],
)
def test_a_template_that_never_ends_or_fills_the_memory_is_stopped(source: str) -> None:
    template = Template(source)
    with pytest.raises(ValueError, match=r"chat template: (its loops|makes more|maximum recursion|found the)"):
        template.prompt(CHAT)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('Only user and assistant') }}", "chat template: Only user and assistant"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "append"),
        ("{{ messages[0].content + 1 }}", "str"),
        ("{{ messages | sum }}", "unsupported operand"),
    ],
)
def test_what_fails_while_it_runs_is_one_line(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Template(source).prompt(CHAT)
    assert "\n" not in str(caught.value)


def test_a_template_can_be_used_many_times() -> None:
    template = Template("{% for a in range(40000) %}{% endfor %}.")
    assert [template.prompt(CHAT) for _ in range(3)] == ["."] * 3
