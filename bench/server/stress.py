"""The server bench's two attacks: more requests than the server can answer, and idle crowds."""

from __future__ import annotations

import json
import pathlib
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator

from common import BIN, Cleaved, Server, figure, on
from processes import HERE, answer_of

TIMES_CAPACITY = 4
DEADLINE_MS = 500
HEALTH_PER_S = 50
SLOW, DRIPPING = 2000, 200


def overload(core: int, load_core: int, body: tuple[str, str, list[pathlib.Path]],
             peak: Callable[[Server], float], rounds: int, seconds: float) -> Iterator[dict]:
    """Four times the peak, open loop, with deadlines; the peak is taken anew each round.

    The first round counts for memory alone.
    """
    path, kind, files = body
    shares, latencies, refused, unanswered, resident, health = [], [], [], [], [], []
    with Cleaved([core]) as server:
        for number in range(rounds + 1):
            best = peak(server)
            prober = subprocess.Popen(
                on([load_core], BIN / "cleave-load", server.url + "/healthz", "text/plain",
                   DEADLINE_MS, HEALTH_PER_S, seconds), stdout=subprocess.PIPE, text=True)
            load = answer_of([load_core], BIN / "cleave-load", server.url + path, kind,
                             DEADLINE_MS, TIMES_CAPACITY * best, seconds, *files)
            probed = json.loads(prober.communicate()[0])
            print(f"overload: peak {best:.0f}/s, {load}, health {probed}", file=sys.stderr)
            resident.append(server.memory_mb()["Rss"])
            if number == 0:
                continue  # the server's memory gets its size
            shares.append(load["in_time_per_s"] / best)
            latencies.append(load["p99_ms"])
            refused.append(load["5xx"] / load["sent"])
            unanswered.append(load["unanswered"] + probed["unanswered"] + probed["5xx"])
            health.append(probed["p99_ms"])
    name = f"{TIMES_CAPACITY} times capacity, deadline {DEADLINE_MS} ms"
    yield figure(f"{name}: answers in time ÷ peak", statistics.median(shares), "ratio", least=0.95)
    yield figure(f"{name}: p99 of accepted", statistics.median(latencies), "ms", most=DEADLINE_MS)
    yield figure(f"{name}: /healthz p99", statistics.median(health), "ms", most=10)
    yield figure(f"{name}: share refused", statistics.median(refused), "ratio")
    yield figure(f"{name}: unanswered", sum(unanswered), "requests", most=0)
    yield figure(f"{name}: memory gained since the first round",
                 resident[-1] - resident[0], "MB", most=1)
    yield figure(f"{name}: memory", max(resident), "MB")


def crowd(core: int, load_core: int, peak: Callable[[Server], float],
          rounds: int) -> Iterator[dict]:
    """Throughput with the idle crowd connected over throughput without it, in turn."""
    shares = []
    with Cleaved([core], "--connections", 2 * (SLOW + DRIPPING)) as server:
        for _ in range(rounds):
            before = peak(server)
            process = subprocess.Popen(
                on([load_core], sys.executable, HERE / "crowd.py", server.port, SLOW, DRIPPING),
                stdout=subprocess.PIPE, text=True)
            try:
                process.stdout.readline()
                during = peak(server)
                held = server.metric("cleave_open_connections ")
            finally:
                process.send_signal(signal.SIGTERM)
                cut = json.loads(process.communicate()[0].splitlines()[-1])["cut"]
            after = peak(server)
            shares.append(2 * during / (before + after))
            print(f"crowd: {before:.0f}/s, {during:.0f}/s with {held:.0f} connections of which "
                  f"{cut} were cut off, {after:.0f}/s", file=sys.stderr)
    yield figure(f"{SLOW} slow and {DRIPPING} dripping connections: throughput ÷ without",
                 statistics.median(shares), "ratio", least=0.95)
