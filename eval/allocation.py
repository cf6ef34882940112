"""Lets a process that answers in batches keep the memory it frees."""

import contextlib
import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`, from its malloc.h."""
_KEPT = 1 << 30


def keep_freed_memory() -> None:
    """Have the C library keep freed blocks of up to 1 GiB for the next request.

    By default it maps large blocks one by one and unmaps them at once, so that the kernel clears
    the same pages again for every tensor: with 48 answers under way that took four fifths of
    the processor. For whole processes of their own; a server would hold its largest moment
    for good. Does nothing where the C library is another.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_MMAP_THRESHOLD, _KEPT)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
