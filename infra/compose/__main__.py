"""python -m infra.compose up | status | down [volumes=true]: the platform of compose.yaml here; see README.md.

`up` makes .env where there is none, starts what is not running, and waits until everything is healthy. `down` stops
it and keeps the data; with volumes=true that is removed as well. Exit code 2: something to mend first; 75: the engine
does not answer, or not in time.
"""

import sys
from typing import Any

from pydantic import Field

from infra.compose.stack import Stack, settings, show
from roadmap.io import command_line
from roadmap.io.command_line import Options


class Down(Options):
    volumes: bool = Field(False, description="true: the data goes as well")


def up(_: Options) -> None:
    stack = Stack()
    print(f"{stack.file}: {'as it was' if stack.file.exists() else 'written, with new secrets'}", flush=True)
    settings(stack.file)
    for service, seconds in stack.up():
        print(f"  {service:<24} healthy after {seconds:5.1f} s", flush=True)
    show(stack)


def status(_: Options) -> None:
    for one in Stack().states():
        print(f"  {one.service:<24} {one.status}")


def down(options: Down) -> None:
    Stack().down(volumes=options.volumes)
    print("stopped" if options.volumes else "stopped; the data stays, volumes=true removes it as well")


def main(argv: list[str]) -> int:
    commands: dict[str, Any] = {"up": (Options, up), "status": (Options, status), "down": (Down, down)}
    return command_line.run(commands, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
