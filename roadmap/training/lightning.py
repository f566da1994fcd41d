"""Lightning, imported without every metric of torchmetrics: `from roadmap.training.lightning import pl`.

Lightning takes two classes from torchmetrics, whose `__init__` imports all metrics there are and with them SciPy and,
where it is installed, transformers: half of what importing Lightning costs. Here the package is put in place as Python
would do it, but its `__init__` waits until something else of it is asked for. Nothing is replaced: whoever imports
torchmetrics gets all of it. Must be imported before anything that imports Lightning.
"""

import importlib
import importlib.util
import logging
import sys
from typing import Any

NEEDED = {"Metric": "torchmetrics.metric", "MetricCollection": "torchmetrics.collections"}


def postpone_torchmetrics() -> None:
    """Puts the package into `sys.modules` with what Lightning needs of it. Where it is imported already, nothing."""
    spec = importlib.util.find_spec("torchmetrics")
    if "torchmetrics" in sys.modules or spec is None or spec.loader is None:
        return
    loader, package = spec.loader, importlib.util.module_from_spec(spec)

    def run(name: str) -> Any:
        if name.startswith("__"):  # the import system looks for names that need not be there
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
import pytorch_lightning as pl  # noqa: E402
from pytorch_lightning import plugins  # noqa: E402

__all__ = ["pl", "plugins"]
