"""The line printed with every figure: machine, date, versions."""

import os
import platform
from datetime import date
from pathlib import Path


def line() -> str:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [row.partition(":")[2].strip() for row in info.read_text().splitlines() if row.startswith("model name")]
        cpu = names[0] if names else cpu
    return f"{date.today()}, {os.cpu_count()} cores of {cpu}, {platform.system()}, Python {platform.python_version()}"
