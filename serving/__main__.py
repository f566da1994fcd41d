"""python -m serving: every bundle of artifacts/ on one port."""

import sys

from serving.entrypoints.server import main

if __name__ == "__main__":
    sys.exit(main())
