"""python -m infra.compose up | status | down [volumes=true]: runs the platform of compose.yaml; see README.md.

`up` creates .env if missing, starts what is not running, and waits until everything is healthy. `down` stops it and
keeps the data unless volumes=true. Exit code 2: usage error; 75: the engine is unreachable, or a timeout.
"""

import sys
from typing import Any

from pydantic import Field

from infra.compose.stack import Stack, settings, show
from roadmap.io import command_line
from roadmap.io.command_line import Options


class Down(Options):
    volumes: bool = Field(False, description="true: remove the data too")


def up(_: Options) -> None:
    stack = Stack()
    print(f"{stack.file}: {'unchanged' if stack.file.exists() else 'created, with new secrets'}", flush=True)
    settings(stack.file)
    for service, seconds in stack.up():
        print(f"  {service:<24} healthy after {seconds:5.1f} s", flush=True)
    show(stack)


def status(_: Options) -> None:
    for one in Stack().states():
        print(f"  {one.service:<24} {one.status}")


def down(options: Down) -> None:
    Stack().down(volumes=options.volumes)
    print("stopped" if options.volumes else "stopped; the data is kept, volumes=true removes it")


def main(argv: list[str]) -> int:
    commands: dict[str, Any] = {"up": (Options, up), "status": (Options, status), "down": (Down, down)}
    return command_line.run(commands, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
