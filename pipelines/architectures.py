"""Sizes a deployment of a published language model: parameters, memory, speed -> a page with pictures.

    python -m pipelines.architectures                                             # what there is, as a table
    python -m pipelines.architectures page model=llama-3.1-8b machine=l4 precision=int8 context=8192 batch=4

The page is written in English and Chinese. A machine of one's own: memory= in GB, bandwidth= in GB/s, teraflops=.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from roadmap.io import command_line
from roadmap.io.atomic import write_atomically
from roadmap.io.command_line import Options
from roadmap.io.errors import UsageError, nearest
from roadmap.sizing import roofline
from roadmap.sizing.architecture import Architecture
from roadmap.sizing.published import ARCHITECTURES
from roadmap.sizing.roofline import MACHINES, Machine


class Sizing(Options):
    model: str = Field("llama-3.1-8b", description="a name in the table")
    machine: str = Field("h100", description=f"one of {', '.join(MACHINES)}, or a name of your own")
    devices: int = Field(1, ge=1, le=100_000, description="of them, sharing the model")
    memory: float | None = Field(None, gt=0, description="GB of each, instead of the machine's")
    bandwidth: float | None = Field(None, gt=0, description="GB/s")
    teraflops: float | None = Field(None, gt=0, description="dense, in 16 bits")
    precision: Literal["fp32", "bf16", "int8", "int4"] = Field(
        "bf16", description="of the weights: fp32, bf16, int8, int4"
    )
    context: int = Field(8192, ge=1, description="tokens of each sequence, prompt included")
    batch: int = Field(1, ge=1, le=1_000_000, description="sequences at once")
    output: Path = Field(Path("artifacts/architectures"), description="folder of the page")


def table(_: Options) -> None:
    def line(one: Architecture) -> str:
        active = f", {one.parameters(active=True):,} a token" if one.experts else ""
        return f"{one.name:<18} {one.parameters():>15,} parameters{active} (published: {one.published})"

    print("\n".join(map(line, ARCHITECTURES.values())))


def page(options: Sizing) -> None:
    """Writes the page in both languages and prints whether the model fits.

    Raises:
        UsageError: unknown model or machine, or a longer context than the model takes.
    """
    from roadmap.sizing.page import Choice, render

    if options.model not in ARCHITECTURES:
        raise UsageError(f"model: found {options.model!r}; {nearest(options.model, ARCHITECTURES)}")
    architecture = ARCHITECTURES[options.model]
    if options.context > architecture.context:
        raise UsageError(
            f"context: found {options.context:,}; expected at most {architecture.context:,}, what {options.model} takes"
        )
    choice = Choice(architecture, machine(options), options.precision, options.context, options.batch)
    for language, name in (("en", "index.html"), ("zh", "index.zh.html")):
        write_atomically(options.output / name, render(choice, language))
    need = roofline.memory(architecture, options.precision, options.context, options.batch)
    verdict = "fits" if need <= choice.machine.memory else "does not fit"
    rate = roofline.decoding(architecture, choice.machine, options.precision, options.context, options.batch)
    print(
        f"{options.model}, {options.precision}: {need / 1e9:,.1f} of {choice.machine.memory / 1e9:,.1f} GB, {verdict}; "
        f"at most {rate:,.0f} tokens/s; {options.output / 'index.html'}"
    )


def machine(options: Sizing) -> Machine:
    """
    Raises:
        UsageError: a machine that is not in the list, with a figure missing.
    """
    known = MACHINES.get(options.machine)
    if known is None and not (options.memory and options.bandwidth and options.teraflops):
        raise UsageError(
            f"machine: found {options.machine!r}; {nearest(options.machine, MACHINES)}, or give memory=, bandwidth= "
            "and teraflops= of your own"
        )
    one = known or Machine(options.machine, "as given", 0, 0, 0)
    return replace(
        one,
        memory=options.memory * 1e9 if options.memory else one.memory,
        bandwidth=options.bandwidth * 1e9 if options.bandwidth else one.bandwidth,
        flops=options.teraflops * 1e12 if options.teraflops else one.flops,
    ).times(options.devices)


COMMANDS: dict[str, Any] = {"": (Options, table), "page": (Sizing, page)}

if __name__ == "__main__":
    sys.exit(command_line.run(COMMANDS, __doc__, sys.argv[1:]))
