"""The entry point of every stage: `@stage def main(run: Run)`.

Hydra composes conf/config.yaml, params.yaml and the command line; what comes out is checked before any work starts.
A mistake ends the process with one line that says where it is and what is allowed, and exit code 2; a service that does
not answer with exit code 75, so that whoever runs the stage knows that trying again makes sense.
"""

import atexit
import gc
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from roadmap.bundle import BundleError
from roadmap.config.check import check
from roadmap.config.schema import Run
from roadmap.fork_server import hand_over
from roadmap.io.errors import Unavailable, UsageError, nearest, of_file

hand_over()  # before a stage imports more
CONF = Path(__file__).parent / "conf"


def stage(main: Callable[[Run], None]) -> Callable[[], None]:
    """Makes `main` a Hydra command line: `python -m pipelines.train project=mnist trainer=ddp`."""
    # Imports make a million objects that stay: looking through them for garbage takes a quarter of the imports' time.
    gc.set_threshold(100_000, 50, 100)
    atexit.register(gc.freeze)  # and going through them at the end would take as long again
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import MarkedYAMLError

    def perform(config: DictConfig) -> None:
        try:
            run = check(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
            main(run)
        except OmegaConfBaseException as error:  # caught here, or Hydra prints a line of its own
            sys.exit(_refuse(_hydra_line(error)))
        except (UsageError, BundleError) as error:
            code = _refuse(_blame(str(error), sys.argv[1:]))
            sys.exit(75 if isinstance(error, Unavailable) else code)
        except OSError as error:
            if error.filename is None:  # of the network
                raise
            sys.exit(_refuse(of_file(error)))

    def compose() -> DictConfig:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            return hydra.compose("config", sys.argv[1:])

    @wraps(main)
    def entry() -> None:
        if {"-m", "--multirun"} & set(sys.argv):
            sys.exit(_refuse("--multirun would overwrite its own outputs; use `dvc exp run --queue -S key=a,b,c`"))
        if not Path("params.yaml").is_file():
            sys.exit(_refuse(f"params.yaml: not in {Path.cwd()}; run this at the root of the repository"))
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then hands us the exception, not its trace
        sys.argv[1:] = [_quoted(argument) for argument in sys.argv[1:]]
        try:
            if any(argument.startswith("-") for argument in sys.argv[1:]):  # --help, --cfg job, --info
                hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(perform)()
            else:  # the same, except that Hydra's program composes twice, which every stage would pay for
                perform(compose())
        except (HydraException, OmegaConfBaseException) as error:
            sys.exit(_refuse(_hydra_line(error)))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f"{Path(mark.name).name}: line {mark.line + 1}: " if mark else "params.yaml: "
            sys.exit(_refuse(f"{where}{error.problem or error.context}"))

    return entry


def _quoted(override: str) -> str:
    """Hydra's grammar knows only ASCII outside quotes; a Chinese column name should not need them."""
    key, equals, value = override.partition("=")
    plain = value.isascii() or value[:1] in ("'", '"', "[", "{")
    return override if plain else f"{key}{equals}'{value}'"


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def _blame(message: str, overrides: list[str]) -> str:
    """Says 'command line' instead of 'params.yaml' where the key was set there."""
    file, _, rest = message.partition(": ")
    key = rest.partition(":")[0]
    names = [override.lstrip("+~").partition("=")[0] for override in overrides]
    set_there = any(f"{name}.".startswith(f"{key}.") or f"{key}.".startswith(f"{name}.") for name in names)
    return f"command line: {rest}" if file == "params.yaml" and set_there else message


def _hydra_line(error: BaseException) -> str:
    """Hydra's own refusals (unknown override, unknown group option) in one line."""
    cause: Any = error.__cause__ or error
    parent = getattr(cause, "parent_node", None)
    if getattr(cause, "key", None) is not None and parent is not None:
        path = str(cause.full_key or cause.key)
        if type(cause).__name__.startswith("Interpolation"):
            return f"command line: {path}: {str(cause).splitlines()[0]}"
        if not len(parent):  # an empty mapping, whose keys are the user's
            return f"command line: {path}: not there yet; write '+{path}=...' to add it"
        return f"command line: {path}: unknown key; {nearest(path.rsplit('.', 1)[-1], [str(key) for key in parent])}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Config search path:" in lines:  # "In 'config': Could not find 'trainer/gup'", then the options
        group, _, found = lines[0].rpartition(" ")[2].strip("'").partition("/")
        return (
            f"command line: {group}: found '{found}'; {nearest(found, lines[2 : lines.index('Config search path:')])}"
        )
    return f"command line: {' '.join(lines[:2])}"
