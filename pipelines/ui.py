"""MLflow's page over the store that the stages write to."""

import argparse
import os
import sys

from roadmap.tracking.mlflow import store_uri


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.ui", description=__doc__)
    parser.add_argument("--port", default="5000", help="port of the page (5000)")
    args = parser.parse_args()
    uri = store_uri()
    if uri.startswith("http"):
        sys.exit(f"MLFLOW_TRACKING_URI is a server already; its page is at {uri}")
    print(f"MLflow: http://127.0.0.1:{args.port} over {uri}", flush=True)
    os.execvp("mlflow", ["mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", args.port])


if __name__ == "__main__":
    main()
