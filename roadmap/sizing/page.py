"""The page that helps to size a deployment, in English or Chinese."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from roadmap.reporting import html, page, style
from roadmap.reporting.bars import beside, lines
from roadmap.reporting.figures import chart, figure, legend, panel
from roadmap.reporting.formatting import tick
from roadmap.reporting.html import Html
from roadmap.reporting.page import Section
from roadmap.reporting.style import BLUE, GREEN, INK, MUTED, ORANGE
from roadmap.sizing import roofline
from roadmap.sizing.architecture import Architecture
from roadmap.sizing.published import ARCHITECTURES
from roadmap.sizing.roofline import PRECISIONS, Machine

PARTS = {"embedding": BLUE, "attention": ORANGE, "MLP": GREEN, "output": MUTED}  # router and norms are too thin to see
COLOURS = dict(zip(PRECISIONS, (ORANGE, BLUE, GREEN, MUTED), strict=True))
WIDE, BAR = 640, 18
Say = Callable[[str, str], str]  # a text in English and in Chinese -> that of the page


@dataclass(frozen=True)
class Choice:
    """What is sized: context in tokens, batch in sequences at once."""

    architecture: Architecture
    machine: Machine
    precision: str
    context: int
    batch: int


def render(choice: Choice, language: str) -> str:
    """The page. language: en or zh."""

    def say(english: str, chinese: str) -> str:
        return chinese if language == "zh" else english

    other = ("index.html", "English") if language == "zh" else ("index.zh.html", "中文")
    about = say(
        "Computed from published sizes; speed is an upper bound by roofline.",
        "由公开的模型结构算出；速度为 roofline 上界。",
    )
    title = say("What a language model costs", "大语言模型的部署成本估算")
    with style.applied():
        sections = [
            chosen(choice, say),
            memory(choice, say),
            speed(choice, say),
            parameters(say),
            tokens(choice, say),
            unpublished(say),
        ]
        link = f'{html.escape(about)} <a href="{other[0]}">{other[1]}</a>'
        return page.render(title, link, sections, say("en", "zh-CN"))


def chosen(choice: Choice, say: Say) -> Section:
    a, m = choice.architecture, choice.machine
    need = roofline.memory(a, choice.precision, choice.context, choice.batch)
    moving, arithmetic = roofline.step_seconds(a, m, choice.precision, choice.context, choice.batch)
    most = roofline.largest_batch(a, m, choice.precision, choice.context)
    rate = roofline.decoding(a, m, choice.precision, choice.context, choice.batch)
    fits = need <= m.memory
    lead = say(
        f"{a.name} in {choice.precision} on {m.name}, {choice.batch} x {choice.context:,} tokens: "
        f"{size(need)} of {size(m.memory)}" + ("." if fits else ", so it does not fit."),
        f"{a.name}（{choice.precision}）部署在 {m.name} 上，{choice.batch} 条 x {choice.context:,} token："
        f"需要 {size(need)}，共有 {size(m.memory)}" + ("。" if fits else "，放不下。"),
    )
    facts = [
        (say("Parameters", "参数量"), f"{a.parameters():,}"),
        (say("that a token passes", "每个 token 激活"), f"{a.parameters(active=True):,}"),
        (say("Weights", "权重"), size(roofline.weights(a, choice.precision))),
        (say("Key-value cache", "KV cache"), size(roofline.cache(a, choice.context, choice.batch))),
        (say("Sequences that fit", "最多并发条数"), f"{most:,}"),
    ]
    if fits:
        facts += [
            (say("Tokens a second, at most", "生成速度上限（token/s）"), f"{rate:,.0f}"),
            (say("for each sequence", "每条"), f"{rate / choice.batch:,.0f}"),
            (
                say("Prompt tokens a second, at most", "prompt 处理上限（token/s）"),
                f"{roofline.reading(a, m, choice.context):,.0f}",
            ),
            (
                say("Limited by", "瓶颈"),
                say("memory bandwidth", "内存带宽") if moving > arithmetic else say("arithmetic", "算力"),
            ),
        ]
    return Section(say("Your choice", "所选配置"), lead, [html.facts(facts)])


def memory(choice: Choice, say: Say) -> Section:
    """By context, a line per precision."""
    a, m = choice.architecture, choice.machine
    contexts = [2**n for n in range(9, a.context.bit_length()) if 2**n <= a.context]
    drawing = chart(260, WIDE)
    axes = panel(drawing, 56, 34, WIDE - 70, 196)
    for precision, colour in COLOURS.items():
        needs = [roofline.memory(a, precision, context, choice.batch) / 1e9 for context in contexts]
        axes.plot(contexts, needs, color=colour, label=precision)
    axes.axhline(m.memory / 1e9, color=INK, linewidth=1, linestyle="--", label=m.name)
    logarithmic(axes, contexts)
    axes.set_ylim(0)
    axes.set_ylabel("GB")
    legend(axes)
    rows = [
        {
            say("context", "上下文"): f"{context:,}",
            **{
                precision: round(roofline.memory(a, precision, context, choice.batch) / 1e9, 1)
                for precision in PRECISIONS
            },
        }
        for context in contexts
    ]
    title = say("Memory by context", "显存随上下文长度的变化")
    caption = say(
        f"{a.name}, {choice.batch} sequences at once, GB: weights, and a cache of 16 bits.",
        f"{a.name}，{choice.batch} 条并发，单位 GB：权重加 16 位 KV cache。",
    )
    return Section(
        say("Memory", "显存"),
        say(
            "Weights are read by every step and stay; the cache grows with each token of each sequence.",
            "权重大小固定；KV cache 随每条序列的每个 token 增长。",
        ),
        [figure(drawing, title, caption, title, wide=True), html.table(rows, caption)],
    )


def speed(choice: Choice, say: Say) -> Section:
    a, m = choice.architecture, choice.machine
    drawing = chart(260, WIDE)
    axes = panel(drawing, 62, 34, WIDE - 76, 196)
    for precision, colour in COLOURS.items():
        most = roofline.largest_batch(a, m, precision, choice.context)
        batches = [2**n for n in range(11) if 2**n <= most]
        if batches:
            rates = [roofline.decoding(a, m, precision, choice.context, batch) for batch in batches]
            axes.plot(batches, rates, color=colour, label=precision, marker="o", markersize=3)
    title = say("Tokens a second by batch", "不同并发下的生成速度")
    caption = say(
        f"{a.name} on {m.name} at a context of {choice.context:,}, all sequences together, as far as memory reaches.",
        f"{a.name} 在 {m.name} 上，上下文 {choice.context:,}，所有序列合计，直到显存用尽。",
    )
    parts: list[Html] = []
    if axes.lines:
        logarithmic(axes, sorted({int(x) for line in axes.lines for x in np.asarray(line.get_xdata())}))
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(tick)
        axes.minorticks_off()
        legend(axes)
        parts.append(figure(drawing, title, caption, title, wide=True))
    else:
        parts.append(html.paragraph(say("It fits in no precision.", "任何精度都放不下。")))
    rows = []
    for other in ARCHITECTURES.values():
        row: dict[str, object] = {say("model", "模型"): other.name}
        for precision in PRECISIONS:
            context = min(choice.context, other.context)
            fits = roofline.memory(other, precision, context, 1) <= m.memory
            row[precision] = round(roofline.decoding(other, m, precision, context, 1)) if fits else math.nan
        rows.append(row)
    one = say(
        f"Tokens a second of one sequence on {m.name}, at most; – does not fit.",
        f"单条序列在 {m.name} 上的生成速度上限（token/s）；– 表示放不下。",
    )
    lead = say(
        "One sequence alone waits for the weights: half the bytes, twice the speed. A batch shares that reading, until "
        "the cache or the arithmetic becomes the limit.",
        "单条序列的瓶颈是读取权重：字节减半，速度翻倍。批处理分摊这次读取，直到 KV cache 或算力成为瓶颈。",
    )
    return Section(say("Speed", "速度"), lead, [*parts, html.table(rows, one)])


def parameters(say: Say) -> Section:
    every = list(ARCHITECTURES.values())
    labels, left = beside([one.name for one in every])
    height = BAR * len(every)
    drawing = chart(height + 50, WIDE)
    axes = panel(drawing, left, 26, WIDE - left - 14, height)
    start = np.zeros(len(every))
    for part, colour in PARTS.items():
        shares = np.array([one.parts()[part] / one.parameters() for one in every])
        axes.barh(np.arange(len(every)), shares, left=start, height=0.7, color=colour, label=part)
        start += shares
    lines(axes, labels, 5)
    axes.set_xlim(0, 1)
    legend(axes)
    rows = [
        {
            say("model", "模型"): one.name,
            say("computed", "计算值"): one.parameters(),
            say("published", "公开值"): one.published,
            say("active", "激活"): one.parameters(active=True) if one.experts else "",
            say("published, active", "公开的激活值"): one.published_active,
            say("source", "出处"): one.source,
        }
        for one in every
    ]
    title = say("Where the parameters are", "参数的分布")
    return Section(
        say("Parameters", "参数量"),
        say(
            "Counted from the sizes in the papers; the tests hold them against what the authors state.",
            "由论文中的结构尺寸算出，并由测试与作者公布的数值核对。",
        ),
        [
            figure(drawing, title, say("Share of all parameters.", "占全部参数的比例。"), title, wide=True),
            html.table(rows, say("Parameters", "参数量")),
        ],
    )


def tokens(choice: Choice, say: Say) -> Section:
    rows, bits = [], PRECISIONS[choice.precision]
    for one in ARCHITECTURES.values():
        context = min(choice.context, one.context)
        cached = roofline.cache(one, context, 1)
        rows.append(
            {
                say("model", "模型"): one.name,
                say("GFLOP a token", "GFLOP/token"): round(one.flops(context) / 1e9, 2),
                say("GB read a token", "每 token 读取 GB"): round(one.weights_read(1) * bits / 8e9, 2),
                say("cache, KB a token", "KV cache，KB/token"): round(cached / context / 1e3, 1),
            }
        )
    lead = say(
        f"A forward pass at a context of {choice.context:,} (or the model's longest), weights in {choice.precision}. "
        "Training costs three times the arithmetic.",
        f"上下文 {choice.context:,}（或模型支持的最大值）下的一次前向计算，权重为 {choice.precision}。"
        "训练的计算量为其三倍。",
    )
    caption = say(
        "Grouped-query and latent attention and windows are what makes the cache small.",
        "分组查询注意力（GQA）、潜在注意力（MLA）与滑动窗口使 KV cache 变小。",
    )
    return Section(say("A token", "单个 token"), lead, [html.table(rows, caption)])


def unpublished(say: Say) -> Section:
    lead = say(
        "No sizes of Claude, GPT-4 and later, or today's Gemini are published, so nothing is computed for them.",
        "Claude、GPT-4 及其后续版本、当前的 Gemini 均未公布模型尺寸，因此不作计算。",
    )
    text = say(
        "Of Gemini its authors state a decoder with multi-query attention and the parameters of Nano, 1.8 and 3.25 "
        "billion (Gemini report, 2023), and a sparse mixture of experts since 1.5 (2024). Of Claude, Anthropic states "
        "context lengths and prices only. Figures that circulate elsewhere are guesses.",
        "Gemini 的作者公布：采用多查询注意力（MQA）的解码器，Nano 的参数量为 18 亿与 32.5 亿（Gemini 技术报告，2023），"
        "自 1.5 起为稀疏混合专家（2024）。Anthropic 只公布了 Claude 的上下文长度与价格。其他流传的数字都是猜测。",
    )
    return Section(say("What is not published", "未公开的模型"), lead, [html.paragraph(text)])


def size(amount: float) -> str:
    """Bytes in words."""
    return f"{amount / 1e9:,.1f} GB" if amount >= 1e8 else f"{amount / 1e6:,.1f} MB"


def logarithmic(axes: Axes, ticks: list[int]) -> None:
    """Powers of two along x, each second one named."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks[::2], [f"{n // 1024}k" if n >= 1024 else str(n) for n in ticks[::2]])
    axes.minorticks_off()
