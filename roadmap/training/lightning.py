"""Lightning, imported without every metric of torchmetrics: `from roadmap.training.lightning import pl`.

Lightning uses two classes of torchmetrics, whose `__init__` imports every metric, SciPy and, if installed,
transformers: half of Lightning's import time. This module registers the package as Python would, but defers its
`__init__` until another attribute is accessed. Nothing is replaced: importing torchmetrics still gives all of it. Must
be imported before anything that imports Lightning.
"""

import importlib
import importlib.util
import logging
import sys

NEEDED = {"Metric": "torchmetrics.metric", "MetricCollection": "torchmetrics.collections"}


def postpone_torchmetrics() -> None:
    """Puts the package into `sys.modules` with the parts that Lightning needs, unless it is imported already."""
    spec = importlib.util.find_spec("torchmetrics")
    if "torchmetrics" in sys.modules or spec is None or spec.loader is None:
        return
    loader, package = spec.loader, importlib.util.module_from_spec(spec)

    def run(name: str) -> object:
        if name.startswith("__"):  # the import system probes optional names
            raise AttributeError(f"module 'torchmetrics' has no attribute {name!r}")
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    sys.modules["torchmetrics"] = package
    vars(package)["_logger"] = logging.getLogger("torchmetrics")  # which its modules take from it
    vars(package)["__version__"] = importlib.import_module("torchmetrics.__about__").__version__
    importlib.import_module("torchmetrics.utilities")  # first: it and torchmetrics.metric import each other
    vars(package).update({name: getattr(importlib.import_module(home), name) for name, home in NEEDED.items()})
    vars(package)["__getattr__"] = run  # PEP 562


postpone_torchmetrics()
import pytorch_lightning as pl  # noqa: E402, TID251
from pytorch_lightning import plugins, strategies  # noqa: E402, TID251

__all__ = ["pl", "plugins", "strategies"]
