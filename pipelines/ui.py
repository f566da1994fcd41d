"""Starts MLflow's UI on the store of the stages."""

import os
import sys

from pydantic import Field

from roadmap.io import command_line
from roadmap.io.errors import UsageError
from roadmap.tracking import local_store
from roadmap.tracking.mlflow import store_uri


class Options(command_line.Options):
    port: int = Field(5000, ge=1, le=65535, description="of the UI")


def run(options: Options) -> None:
    uri = store_uri()
    if uri.startswith("http"):
        raise UsageError(f"MLFLOW_TRACKING_URI: found the server {uri}; its page is there")
    if store := local_store.file_of(uri):
        local_store.follow_move(store)
    print(f"MLflow: http://127.0.0.1:{options.port} over {uri}", flush=True)
    address = ["--host", "127.0.0.1", "--port", str(options.port)]
    os.execvp("mlflow", ["mlflow", "server", "--backend-store-uri", uri, *address])


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
