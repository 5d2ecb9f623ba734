"""Bytes over a connection, whether they are HTTP or not."""

from __future__ import annotations

import re
import socket
from typing import Final

HANG: Final = 60.0
"""Seconds that an answer may take."""


def exchange(port: int, content: bytes, *, soon: float = 5.0) -> int:
    """Send bytes; the status that is answered, or 0 where the connection is just closed.

    If there is no answer soon, the request is not complete: then the connection is ended from this side.
    """
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=soon) as connection:
        try:
            connection.sendall(content)
            while chunk := _receive(connection):
                answer += chunk
        except ConnectionError:  # it refused and closed while we were sending
            pass
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", answer)
    return int(statuses[-1]) if statuses else 0


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(2**16)
    except TimeoutError:
        connection.settimeout(HANG)
        connection.shutdown(socket.SHUT_WR)
        return connection.recv(2**16)
