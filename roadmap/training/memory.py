"""Memory that the C library is told to keep."""

import contextlib
import ctypes


def keep_freed_memory() -> None:
    """Tells glibc to keep what is freed for the next step.

    By default it hands every large tensor back to the kernel, and a step of mnist then begins with some 3,000 page
    faults: a fifth of its time. Other C libraries have no such switch and are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
