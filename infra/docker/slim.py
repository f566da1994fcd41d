"""Removes from a folder of installed packages what a running server never opens: `python slim.py /packages`.

Measured on the pinned versions: 219 MB before, 147 MB after.
"""

import shutil
import sys
from pathlib import Path

UNUSED = (
    "onnxruntime/capi/libonnxruntime.so.*",  # for programs in C; the Python module has the whole runtime in itself
    "onnxruntime/transformers",
    "onnxruntime/tools",
    "onnxruntime/quantization",
    "numpy/f2py",
    "PIL/_avif*.so",  # pictures come as PNG and JPEG, and nothing is written with a font
    "PIL/_imagingft*.so",
    "pillow.libs/libavif-*",
    "pillow.libs/libfreetype-*",
    "pillow.libs/libharfbuzz-*",
    "bin",
)
BOTO = {"s3", "sts", "sso", "sso-oidc", "signin"}  # services that are asked: bundles, and the ways to credentials
NOT_RUN = {".pyx", ".pxd", ".pyi", ".h", ".c", ".a"}


def main(root: Path) -> None:
    for pattern in UNUSED:
        for path in root.glob(pattern):
            remove(path)
    for path in (root / "botocore" / "data").iterdir():
        if path.is_dir() and path.name not in BOTO:
            remove(path)
    for path in [*root.rglob("tests"), *root.rglob("_tests"), *root.rglob("__pycache__")]:
        remove(path)
    for path in root.rglob("*"):
        if path.suffix in NOT_RUN:
            path.unlink()


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
