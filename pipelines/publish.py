"""Publishes a promoted bundle: model card, data card, ONNX, and weights where the project keeps them.

    python -m pipelines.publish project=mnist to=hf://user/digits    a repository of Hugging Face
    python -m pipelines.publish project=mnist to=out/digits          a folder, to look at

What the gate refused, or a licence forbids, is not published. `python -m serving --bundles hub://user/digits` serves
what is.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from pydantic import Field

from roadmap.bundle import MANIFEST, Bundle
from roadmap.config.params import projects
from roadmap.data import splits
from roadmap.evaluation.results import Decision, read_metrics
from roadmap.io import command_line
from roadmap.io.atomic import atomic_folder
from roadmap.io.documents import read_json
from roadmap.io.errors import UsageError, nearest
from roadmap.io.json import JsonObject
from roadmap.publishing import card, hub
from roadmap.publishing.licences import licence_of

HUB = re.compile(r"hf://([\w.-]+/[\w.-]+)")
FOR_TRANSFORMERS = ("config.json", "model.safetensors")  # with these in the bundle, transformers loads it
BESIDE = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


class Options(command_line.Options):
    project: str = Field(description="whose bundle")
    to: str = Field(description="hf://owner/name, or a folder")
    licence: str = Field("", description="that you publish under, if the data are yours, e.g. apache-2.0")
    private: bool = Field(False, description="true: a repository that others cannot see")


def run(options: Options) -> None:
    if options.project not in projects():
        raise UsageError(f"project: found {options.project!r}; {nearest(options.project, projects())}")
    artifacts, match = Path("artifacts", options.project), HUB.fullmatch(options.to)
    if not match and "://" in options.to:
        raise UsageError(f"to: found {options.to!r}; expected hf://owner/name or a folder")
    bundle = Bundle(artifacts / "bundle")
    facts = facts_of(bundle, artifacts, options.licence)
    if match:
        with tempfile.TemporaryDirectory() as temporary:
            lay_out(bundle.folder, facts, f"hub://{match[1]}", Path(temporary))
            message = f"{options.project} {bundle.manifest.version}"
            print(f"{options.project}: {hub.upload(Path(temporary), match[1], message, options.private)}")
    else:
        to = Path(options.to)
        if to.exists() and not (to / "bundle" / MANIFEST).exists() and any(to.iterdir()):
            raise UsageError(f"to: found {to} with other files; expected a new folder, or one published before")
        with atomic_folder(to) as draft:
            lay_out(bundle.folder, facts, options.to, draft)
        print(f"{options.project}: {to}/README.md, {to}/DATA_CARD.md and {to}/bundle")


def facts_of(bundle: Bundle, artifacts: Path, own: str) -> card.Facts:
    """
    Raises:
        UsageError: the bundle is not the promoted one, a licence forbids it, or data or metrics are of another bundle.
    """
    project, version = bundle.manifest.project, bundle.manifest.version
    decision: JsonObject = read_json(artifacts / "decision.json", Decision, f"run `dvc repro register@{project}`")
    if decision.get("bundle") != version:
        raise UsageError(f"{project}: found no decision on bundle {version}; run `dvc repro register@{project}`")
    if not decision["promoted"]:
        raise UsageError(f"{decision['summary']} Only promoted bundles are published.")
    data, metrics = splits.read_card(Path("data", project)), read_metrics(artifacts)
    if data["sha256"] != bundle.manifest.data_sha256 or metrics["bundle_version"] != version:
        raise UsageError(f"{project}: found data or metrics of another bundle; run `dvc repro register@{project}`")
    stated = {
        "the data": data["licence"],
        **({"the weights": data["weights"]["licence"]} if data.get("weights") else {}),
    }
    title = Path("pipelines", project, "README.md").read_text().partition("\n")[0].removeprefix("# ")
    return card.Facts(
        manifest=bundle.manifest,
        title=title,
        metrics=metrics,
        decision=decision,
        data=data,
        example=bundle.example,
        licence=licence_of(stated, own),
        transformers=all(name in bundle.manifest.files for name in FOR_TRANSFORMERS),
    )


def lay_out(bundle: Path, facts: card.Facts, address: str, folder: Path) -> None:
    """The repository: README.md, DATA_CARD.md, bundle/, and at the root what transformers looks for."""
    shutil.copytree(bundle, folder / "bundle")
    (folder / "README.md").write_text(card.model_card(facts, address))
    (folder / "DATA_CARD.md").write_text(card.data_card(facts))
    for each in (*FOR_TRANSFORMERS, *BESIDE) if facts.transformers else ():
        if (bundle / each).exists():
            shutil.copyfile(bundle / each, folder / each)


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
