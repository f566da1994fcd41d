"""Llama-like weights for llama.cpp and Ollama: model.gguf and a Modelfile.

    python -m pipelines.gguf source=artifacts/mini_gpt/bundle output=gguf/mini_gpt
    python -m pipelines.gguf source=HuggingFaceTB/SmolLM2-135M-Instruct output=gguf/smollm2 precision=q8_0
    ollama create mini_gpt -f gguf/mini_gpt/Modelfile

The source has config.json, model.safetensors and tokenizer.json, as published models have. A bundle of mini_gpt has
them if it was trained with model._target_=models.decoders.llama.LLaMA, model.publish=true and data.tokenizer=bpe.
"""

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field

from roadmap.exporting import gguf
from roadmap.io import command_line


class Options(command_line.Options):
    source: str = Field(description="a folder, or an id of a hub")
    output: Path = Field(description="folder to write")
    precision: Literal["f32", "f16", "q8_0"] = Field("f16", description="of the matrices: f32, f16, q8_0")


def run(options: Options) -> None:
    gguf.export(options.source, options.output, options.precision)
    size = (options.output / gguf.MODEL).stat().st_size
    print(
        f"{options.output / gguf.MODEL}: {size / 1e6:,.1f} MB, {options.precision}; {options.output / gguf.MODELFILE}"
    )


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
