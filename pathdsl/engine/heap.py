"""What the process holds and does not need: freed memory, and pages of embeddings in their files.

glibc keeps freed blocks for those that are asked for next, so that their pages need not be made
again. Values that live for several layers lie between blocks that were freed, and what comes next
is larger than the gaps: half of the memory of a batch was such gaps. A table of a whole vocabulary
is read as a whole by few measures; what of it is unmapped is mapped again when it is read. Where
there is no glibc nothing is done.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import weakref
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FREE_BYTES", "LARGE_BYTES", "TABLES", "give_back", "give_back_much",
    "large_blocks_at_once", "may_go",
]  # fmt: skip

FREE_BYTES = 64_000_000
"""Bytes that lie free in memory from which on giving them back pays: to have a gigabyte again takes
0.3 s."""

LARGE_BYTES = 16_000_000
"""Bytes of values from which on it is looked how much lies free between them."""

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_MADV_DONTNEED = 4  # mman.h of Linux
_PRESENT, _SWAPPED, _OF_FILE = (np.uint64(1 << bit) for bit in (63, 62, 61))
"""Bits of a page in `/proc/self/pagemap`."""


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
            "fordblks", "keepcost",
        )
    ]  # fmt: skip


@cache
def _glibc() -> Any:
    """The C library where it is glibc, else None."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    wanted = ("mallopt", "malloc_trim", "mallinfo2")
    if library is None or not all(hasattr(library, name) for name in wanted):
        return None
    library.mallinfo2.restype = _Mallinfo
    return library


_free = 0
"""What `_held_and_free` said when memory was given back last: other memory than the library's."""


TABLES: list[weakref.ref[Tensor]] = []
"""Weights whose pages may go."""


def may_go(weight: Tensor) -> None:
    """Pages of this weight need not stay in memory while nothing reads them."""
    if weight.device.type == "cpu" and weight.numel() * weight.element_size() > LARGE_BYTES:
        TABLES[:] = [known for known in TABLES if known() is not None]
        TABLES.append(weakref.ref(weight))


def give_back() -> None:
    """Give all that is free back to the system, and pages of weights that may go."""
    global _free
    if (library := _glibc()) is not None:
        for known in TABLES:
            if (weight := known()) is not None:
                _unmap(library, weight)
        library.malloc_trim(0)
        _free = _held_and_free(library)


def give_back_much() -> None:
    """The same where much was freed since, and still lies in memory."""
    library = _glibc()
    if library is not None and _held_and_free(library) - _free > FREE_BYTES:
        give_back()


def large_blocks_at_once() -> None:
    """From now on give large blocks back when they are freed, which costs time.

    glibc learns from blocks that are freed to keep ever larger ones: with logits of a whole
    vocabulary and converted weights that was 60 MB of a limit of 500.
    """
    if (library := _glibc()) is not None:
        library.mallopt(_M_MMAP_THRESHOLD, 4_000_000)


def _unmap(library: Any, weight: Tensor) -> None:
    """Take the pages of a weight out of memory where all of them are as they are in a file."""
    first = -(-weight.data_ptr() // mmap.PAGESIZE)
    pages = (weight.data_ptr() + weight.nbytes) // mmap.PAGESIZE - first
    try:
        with open("/proc/self/pagemap", "rb") as file:
            file.seek(8 * first)
            found = np.frombuffer(file.read(8 * pages), np.uint64)
    except OSError:
        return
    written = (found & _SWAPPED != 0) | ((found & _PRESENT != 0) & (found & _OF_FILE == 0))
    if len(found) == pages and not written.any():  # what was written to would be lost
        at, size = ctypes.c_void_p(first * mmap.PAGESIZE), ctypes.c_size_t(pages * mmap.PAGESIZE)
        library.madvise(at, size, _MADV_DONTNEED)


def _held_and_free(library: Any) -> int:
    """Bytes in memory that are no pages of files, without those that the library has given out."""
    _, resident, shared = Path("/proc/self/statm").read_text().split()[:3]
    found = library.mallinfo2()
    return (int(resident) - int(shared)) * mmap.PAGESIZE - found.uordblks - found.hblkhd
