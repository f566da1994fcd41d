"""Who runs a command, for the promotion log and the deployment records."""

import getpass
import os
import platform


def who() -> str:
    """A user at a machine, or the actor and run of a GitHub workflow."""
    if repository := os.environ.get("GITHUB_REPOSITORY"):
        return f"{os.environ.get('GITHUB_ACTOR', '?')}, {repository} run {os.environ.get('GITHUB_RUN_ID', '?')}"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    return f"{user}@{platform.node()}"
