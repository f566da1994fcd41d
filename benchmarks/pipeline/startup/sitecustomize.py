"""Python runs this at startup if this folder is on PYTHONPATH. It times imports, and when the process ends appends one
JSON line to the file that STARTUP_TIMES names.

command     the words of the command line, the program as the name of its module
seconds     from here, or from the fork, to the end
cpu         seconds of this process on all cores
imports     seconds of the main thread inside imports, those of functions included
packages    the top-level names that were imported, or asked for by our code where a fork had them already
"""

import atexit
import builtins
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Returned = TypeVar("Returned")
OURS = {"pipelines", "roadmap", "models"}


class Clock:
    """Adds up the time inside the outermost of the wrapped functions."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.started, self.cpu, self.imports, self.inside = time.perf_counter(), time.process_time(), 0.0, False
        self.before, self.asked = set(sys.modules), set[str]()

    def around(self, function: Callable[P, Returned]) -> Callable[P, Returned]:
        """The function, timed. Its first argument is the name to import, a second one the importer's globals."""

        def timed(*args: P.args, **options: P.kwargs) -> Returned:
            scope: dict[str, object] = args[1] if len(args) > 1 and isinstance(args[1], dict) else {}
            if str(scope.get("__name__")).partition(".")[0] in OURS:
                self.asked.add(str(args[0]).partition(".")[0])
            if self.inside or threading.current_thread() is not threading.main_thread():
                return function(*args, **options)
            self.inside, started = True, time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.inside = False
                self.imports += time.perf_counter() - started

        return timed

    def tell(self) -> None:
        words = [Path(sys.argv[0]).stem, *sys.argv[1:]]
        times = {
            "command": words,
            "seconds": time.perf_counter() - self.started,
            "cpu": time.process_time() - self.cpu,
            "imports": self.imports,
            "packages": sorted({name.partition(".")[0] for name in set(sys.modules) - self.before} | self.asked),
        }
        with open(os.environ["STARTUP_TIMES"], "a") as file:  # noqa: PTH123
            file.write(json.dumps(times) + "\n")


if "STARTUP_TIMES" in os.environ:
    clock = Clock()
    builtins.__import__ = clock.around(builtins.__import__)
    vars(importlib)["import_module"] = clock.around(importlib.import_module)
    atexit.register(clock.tell)
    os.register_at_fork(after_in_child=clock.start)
