"""Compiles only the modules that the server loads, which halves its start time for a few megabytes.

The compiled files are never checked against their sources, and are reproducible: marshal version 2, which has no
references between constants, under a fixed hash seed (PYTHONHASHSEED), which orders sets.
"""

import importlib
import importlib.util
import marshal
import sys
from pathlib import Path

ENTRIES = (
    "serving.http.app",
    "serving.entrypoints.sagemaker",
    "serving.entrypoints.server",
    "serving.entrypoints.fetch",
    "serving.sources.s3",
    "awslambdaric",
)
LIBRARIES = ("mangum", "uvicorn", "onnxruntime", "uvloop", "httptools", "boto3", "joserfc.jwt")
ROOTS = ("/opt/roadmap", "/packages")
UNCHECKED = (1).to_bytes(4, "little")  # unchecked hash-based pyc: PEP 552


def main() -> None:
    predictors = [
        f"pipelines.{path.parents[1].name}.predict"
        for path in Path("/opt/roadmap/pipelines").glob("*/predict/__init__.py")
    ]
    for name in (*ENTRIES, *LIBRARIES, *predictors):
        importlib.import_module(name)
    for path in {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}:
        if path.endswith(".py") and path.startswith(ROOTS):
            write(Path(path))


def write(path: Path) -> None:
    source = path.read_bytes()
    code = marshal.dumps(compile(source, str(path), "exec", dont_inherit=True), 2)
    target = Path(importlib.util.cache_from_source(path))
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(importlib.util.MAGIC_NUMBER + UNCHECKED + importlib.util.source_hash(source) + code)


if __name__ == "__main__":
    main()
