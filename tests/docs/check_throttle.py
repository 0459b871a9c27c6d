"""Holds bench/link/throttle to its rates and its delay, by an upload and a download.

usage: check_throttle.py THROTTLE
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

UP_MBIT_PER_S, DOWN_MBIT_PER_S, DELAY_MS = 1, 4, 20
UP_BYTES, DOWN_BYTES = 50_000, 100_000
WANTED_S = UP_BYTES * 8e-6 / UP_MBIT_PER_S + DOWN_BYTES * 8e-6 / DOWN_MBIT_PER_S + 2e-3 * DELAY_MS
LEAST_S = 0.95 * WANTED_S  # it may catch up a little
# A busy machine is slower; a relay that does nothing is never this slow.
MOST_S = 10 * WANTED_S


def read(end: socket.socket, count: int) -> bytes:
    """As many bytes, or fewer at the end of what comes."""
    data = b""
    while len(data) < count and (part := end.recv(65536)):
        data += part
    return data


def answer(door: socket.socket) -> None:
    """Answer the first connection's upload by a download, and hang up."""
    end, _ = door.accept()
    with end:
        if read(end, UP_BYTES) == bytes(range(250)) * (UP_BYTES // 250):
            end.sendall(b"x" * DOWN_BYTES)


def main() -> int:
    """Time both."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    with socket.create_server(("localhost", 0)) as door:
        threading.Thread(target=answer, args=(door,), daemon=True).start()
        throttle = subprocess.Popen(
            [sys.argv[1], "--up", str(UP_MBIT_PER_S), "--down", str(DOWN_MBIT_PER_S), "--delay-ms",
             str(DELAY_MS), str(port), f"localhost:{door.getsockname()[1]}"],
            stdout=subprocess.PIPE, text=True)
        try:
            print(throttle.stdout.readline())
            with socket.create_connection(("localhost", port), timeout=60) as end:
                began_s = time.monotonic()
                end.sendall(bytes(range(250)) * (UP_BYTES // 250))
                got = read(end, DOWN_BYTES + 1)
                took_s = time.monotonic() - began_s
        finally:
            throttle.kill()
            throttle.wait()
    print(f"{len(got)} bytes after {took_s:.3f} s, {LEAST_S:.3f} to {MOST_S:.3f} s")
    return 0 if got == b"x" * DOWN_BYTES and LEAST_S <= took_s <= MOST_S else 1


if __name__ == "__main__":
    sys.exit(main())
