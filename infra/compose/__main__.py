"""python -m infra.compose up | status | down [-v]: the platform of compose.yaml on this machine; see README.md.

`up` makes .env where there is none, starts what is not running, and waits until everything is healthy. `down` stops
it and keeps the data; with -v that is removed as well. Exit code 2: something to mend first; 75: the engine does not
answer, or not in time.
"""

import sys

from infra.compose.stack import ComposeError, Stack, settings, show


def main(arguments: list[str]) -> int:
    if arguments not in (["up"], ["status"], ["down"], ["down", "-v"]):
        print(__doc__)
        return 0 if {"-h", "--help"} & set(arguments) else 2
    stack = Stack()
    try:
        if arguments[0] == "up":
            print(f"{stack.file}: {'as it was' if stack.file.exists() else 'written, with new secrets'}", flush=True)
            settings(stack.file)
            for service, seconds in stack.up():
                print(f"  {service:<24} healthy after {seconds:5.1f} s", flush=True)
            show(stack)
        elif arguments[0] == "status":
            for one in stack.states():
                print(f"  {one.service:<24} {one.status}")
        else:
            stack.down(volumes="-v" in arguments)
            print("stopped" if "-v" in arguments else "stopped; the volumes stay, `down -v` removes them as well")
    except ComposeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("interrupted; `make up` goes on, `make down` stops what runs", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
