"""Removes files that a running server never opens from installed packages: `python slim.py /packages`.

163 MB remain of the versions pinned in 2026-11.
"""

import shutil
import sys
from pathlib import Path

UNUSED = (
    "onnxruntime/capi/libonnxruntime.so.*",  # for C programs; the Python module includes the runtime
    "onnxruntime/transformers",
    "onnxruntime/tools",
    "onnxruntime/quantization",
    "numpy/f2py",
    "PIL/_avif*.so",  # only PNG and JPEG are used: no colour management, no text
    "PIL/_imagingcms*.so",
    "PIL/_imagingft*.so",
    "PIL/_imagingtk*.so",
    "PIL/_webp*.so",
    "pillow.libs/libavif-*",
    "pillow.libs/libbrotli*",
    "pillow.libs/libfreetype-*",
    "pillow.libs/libharfbuzz-*",
    "pillow.libs/liblcms2-*",
    "pillow.libs/libpng16-*",
    "pillow.libs/libsharpyuv-*",
    "pillow.libs/libwebp*",
    "bin",
)
BOTO = {"s3", "sts", "sso", "sso-oidc", "signin"}  # used services: bundles, and credentials
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
