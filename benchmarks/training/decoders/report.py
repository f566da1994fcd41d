"""Tables in both languages and the picture, from finished runs.

Intervals are 95%, over seeds. Three runs say little of their own spread, so the spread of all networks is pooled: the
variance within a network, averaged over networks, as in an analysis of variance.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from benchmarks.training.decoders.rows import ROWS, Row

Run = dict[str, float]  # bits per byte, CPU seconds, steps, parameters, and those active
Language = Literal["en", "zh"]

CHINESE = {
    "no biases": "去掉偏置",
    "rotary positions": "旋转位置编码",
    "normalised queries and keys": "查询和键归一化",
    "grouped queries": "分组查询",
    "window of 16": "窗口 16",
    "Mixtral, equal parameters": "Mixtral，总参数量相同",
    "Mixtral, equal per token": "Mixtral，每词元参数量相同",
    "AdamW alone": "只用 AdamW",
    "unigram": "一元模型",
    "trigram, Kneser-Ney": "三元模型，Kneser-Ney",
    "5-gram, Kneser-Ney": "5 元模型，Kneser-Ney",
    "network": "网络",
    "compared with": "对照",
    "parameters": "参数量",
    "for a token": "每词元",
    "CPU-s": "CPU 秒",
    "bits per byte": "每字节比特数",
    "change": "变化",
    "steps": "步数",
    "runs": "次数",
    "model": "模型",
    "lower is better": "越低越好",
}


def worded(text: str, language: Language) -> str:
    return text if language == "en" else CHINESE.get(text, text)


def key(row: Row, steps: int, seed: int, timed: bool = False) -> str:
    """The name of a run. timed: for as long as GPT-2 takes for these steps"""
    return f"{row.name}, as long as {steps}, seed {seed}" if timed else f"{row.name}, {steps} steps, seed {seed}"


@dataclass(frozen=True)
class Tables:
    """
    runs        by their keys; a row without a run is left out
    baselines   name -> bits per byte
    """

    runs: dict[str, Run]
    steps: int
    seeds: int
    baselines: dict[str, float]

    def of(self, row: Row, timed: bool = False) -> list[Run]:
        keys = [key(row, self.steps, seed, timed) for seed in range(1, self.seeds + 1)]
        return [self.runs[one] for one in keys if one in self.runs]

    @property
    def rows(self) -> list[Row]:
        return [row for row in ROWS if self.of(row)]

    def bits(self, row: Row, timed: bool = False) -> float:
        return float(np.mean([one["bits"] for one in self.of(row, timed)]))

    @cached_property
    def spread(self) -> float:
        """Half of the interval of a single run: the pooled standard deviation times the quantile of its freedom."""
        groups = [[one["bits"] for one in self.of(row, timed)] for row in ROWS for timed in (False, True)]
        groups = [group for group in groups if len(group) > 1]
        freedom = sum(len(group) - 1 for group in groups)
        pooled = np.sqrt(sum(len(group) * np.var(group) for group in groups) / freedom)
        return float(stats.t.ppf(0.975, freedom) * pooled)

    def margin(self, row: Row, timed: bool = False) -> float:
        """Half of the interval of the mean."""
        return self.spread / np.sqrt(len(self.of(row, timed)))

    def change(self, one: tuple[Row, bool], other: tuple[Row, bool]) -> str:
        """A difference and its interval. one, other: a row, and whether for equal time"""
        found, half = self.bits(*one) - self.bits(*other), np.hypot(self.margin(*one), self.margin(*other))
        return f"{found:+.3f} ({found - half:+.3f} to {found + half:+.3f})"

    def ladder(self, language: Language) -> str:
        """Every row at equal data."""
        named = {row.name: row for row in ROWS}
        rows = []
        for row in self.rows:
            runs, against = self.of(row), named[row.against] if row.against else None
            rows.append((
                worded(row.name, language), worded(row.against or "", language), f"{runs[0]['parameters']:,}",
                f"{runs[0]['active']:,}", f"{np.median([one['seconds'] for one in runs]):.0f}", str(len(runs)),
                f"{self.bits(row):.3f} ± {self.margin(row):.3f}",
                self.change((row, False), (against, False)) if against and self.of(against) else "",
            ))  # fmt: skip
        heads = ("network", "compared with", "parameters", "for a token", "CPU-s", "runs", "bits per byte", "change")
        return table([worded(head, language) for head in heads], rows, language)

    def timed(self, language: Language) -> str:
        """As long as GPT-2."""
        rows, first = [], ROWS[0]
        for row in (first, *(row for row in ROWS if self.of(row, timed=True))):
            timed = row is not first
            runs = self.of(row, timed)
            rows.append((
                worded(row.name, language), f"{runs[0]['steps']:,}",
                f"{np.median([one['seconds'] for one in runs]):.0f}", str(len(runs)),
                f"{self.bits(row, timed):.3f} ± {self.margin(row, timed):.3f}",
                self.change((row, True), (first, False)) if timed else "",
            ))  # fmt: skip
        heads = ("network", "steps", "CPU-s", "runs", "bits per byte", "change")
        return table([worded(head, language) for head in heads], rows, language)

    def others(self, language: Language) -> str:
        """What no network is needed for."""
        rows = [(worded(name, language), f"{bits:.3f}") for name, bits in self.baselines.items()]
        return table([worded(head, language) for head in ("model", "bits per byte")], rows, language)

    def markdown(self, language: Language) -> dict[str, str]:
        """Name -> table."""
        return {
            "decoders": self.ladder(language),
            "decoders_time": self.timed(language),
            "decoders_baselines": self.others(language),
        }

    def picture(self, language: Language) -> Figure:
        """Every row at equal data, with the baselines that are near."""
        from roadmap.evaluation.plots import BLUE, GREY, plt

        figure, ax = plt.subplots(figsize=(7.2, 4.8))
        values, margins = [self.bits(row) for row in self.rows], [self.margin(row) for row in self.rows]
        places = range(len(values), 0, -1)
        ax.errorbar(values, places, xerr=margins, fmt="o", color=BLUE, ms=5, capsize=3)
        for name, bits in self.baselines.items():
            if bits < max(values) + 0.1:
                ax.axvline(bits, color=GREY, ls="--", lw=1)
                label = worded(name, language)
                ax.text(
                    bits, len(values) + 0.7, label, fontsize=8, rotation=30, color="#4a5568", ha="left", va="bottom"
                )
        ax.set_yticks(list(places), [worded(row.name, language) for row in self.rows])
        ax.set(xlabel=f"{worded('bits per byte', language)} ({worded('lower is better', language)})")
        return figure

    def write(self, docs: Path) -> None:
        """The tables and the picture of both pages."""
        from roadmap.evaluation import plots

        for language, suffix in (("en", ""), ("zh", "-zh")):
            page = docs / language / "decoders.md"
            content = page.read_text()
            for name, text in self.markdown(language).items():  # type: ignore[arg-type]
                marked = rf"(<!-- figures: {name} -->\n).*?(<!-- /figures -->)"
                content = re.sub(marked, lambda found, new=text: f"{found[1]}{new}\n{found[2]}", content, flags=re.S)  # type: ignore[misc]
            page.write_text(content)
            plots.save(self.picture(language), docs / "assets" / f"decoders{suffix}.png")  # type: ignore[arg-type]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], language: Language) -> str:
    """As Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return text if language == "en" else text.replace(" to ", " 至 ")
