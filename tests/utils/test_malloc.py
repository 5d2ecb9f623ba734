"""Settings of the C library's allocator: memory is given back, and large blocks are reused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from showtell.utils import malloc

needs_glibc = pytest.mark.skipif(malloc._libc() is None, reason="the C library is not glibc")

FAULTS = """
import ctypes, resource, sys
from showtell.utils.malloc import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
changed = keep_freed_memory()
faults = []
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(100_000_000)
    ctypes.memset(block, 1, 100_000_000)
    libc.free(block)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(changed, *faults)
"""


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def page_faults(**environment: str) -> tuple[bool, list[int]]:
    """Whether the setting was changed in a new process, and the page faults of the same block three times."""
    own = {name: value for name, value in os.environ.items() if name not in malloc._OWN_SETTINGS}
    run = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env=own | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    changed, *faults = run.stdout.split()
    return changed == "True", [int(number) for number in faults]


@needs_glibc
def test_what_is_free_between_blocks_in_use_is_given_back() -> None:
    blocks = [bytearray(100_000) for _ in range(2000)]
    kept = blocks[::50]
    del blocks
    before = resident()
    assert malloc.malloc_trim()
    assert before - resident() > 100e6
    assert sum(map(sum, kept)) == 0


@needs_glibc
def test_a_large_block_is_reused_without_new_pages() -> None:
    changed, (first, second, third) = page_faults()
    assert changed
    assert first > 10 * max(second, third)


@needs_glibc
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_settings_of_the_environment_stay(name: str) -> None:
    value = "glibc.malloc.arena_max=2" if name == "GLIBC_TUNABLES" else "1000000"
    changed, (first, second, _) = page_faults(**{name: value})
    assert not changed
    assert second > first / 2


@pytest.mark.parametrize("library", [SimpleNamespace(malloc_trim=None), OSError("no C library"), TypeError()])
def test_another_c_library_is_no_error(library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_name: None) -> object:
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(malloc.ctypes, "CDLL", load)
    assert malloc.malloc_trim() is False
    assert malloc.keep_freed_memory.__wrapped__() is False
