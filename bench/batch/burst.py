"""What a frame costs `cleaved` with and without batches, under eight connections."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from common import Cleaved

CONNECTIONS = 8
FRAME_TYPE = {"Content-Type": "application/vnd.cleave.frame"}
COUNTERS = ("process_cpu_seconds_total", "cleave_batch_frames_sum", "cleave_batch_frames_count")


@dataclass
class Cost:
    """One burst: CPU time and latency in milliseconds, and what there was of the rest."""

    cpu_ms: float  # of a request, all threads of the server
    p50_ms: float
    p99_ms: float
    frames_per_run: float
    per_second: float


def counters(server: Cleaved) -> list[float]:
    """The COUNTERS, each summed over its labels."""
    return [server.metric(rf"{name}[ {{]") for name in COUNTERS]


def burst(server: Cleaved, path: str, frame: bytes, seconds: float) -> Cost:
    """Frames over CONNECTIONS connections, each as soon as the one before is answered."""
    taken: list[float] = []
    end = time.monotonic() + seconds

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        while time.monotonic() < end:
            begun = time.monotonic()
            connection.request("POST", path, frame, FRAME_TYPE)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{path}: {answer.status} {content.decode(errors='replace')}")
            taken.append((time.monotonic() - begun) * 1e3)

    before = counters(server)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for sender in [pool.submit(send) for _ in range(CONNECTIONS)]:
            sender.result()
    cpu, frames, runs = (b - a for a, b in zip(before, counters(server)))
    taken.sort()
    return Cost(cpu * 1e3 / len(taken), taken[len(taken) // 2], taken[len(taken) * 99 // 100],
                frames / runs, len(taken) / seconds)
