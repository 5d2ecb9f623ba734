import sys
from pathlib import Path

import pytest

from showtell.utils import malloc_trim


def resident() -> int:
    """Bytes of this process in malloc_trim."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(malloc_trim._malloc_trim() is None, reason="the C library is not glibc")
def test_what_is_free_between_blocks_in_use_is_given_back() -> None:
    blocks = [bytearray(100_000) for _ in range(2000)]
    kept = blocks[::50]
    del blocks
    before = resident()
    assert malloc_trim.malloc_trim()
    assert before - resident() > 100e6
    assert sum(map(sum, kept)) == 0


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    malloc_trim._malloc_trim.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["ctypes"], "CDLL", lambda _name: object())
        assert malloc_trim.malloc_trim() is False
    malloc_trim._malloc_trim.cache_clear()
