"""What a frame costs `cleaved` with and without batches, under eight connections."""

from __future__ import annotations

import http.client
import pathlib
import re
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

CONNECTIONS = 8
POINT = "trunk-base"
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


class Server:
    """A `cleaved` with one worker, on any free port, until closed."""

    def __init__(self, program: pathlib.Path, bundle: pathlib.Path, batch: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        port = pathlib.Path(self.folder.name) / "port"
        self.process = subprocess.Popen(
            [str(program), "--model", str(bundle), "--listen", "127.0.0.1:0",
             "--port-file", str(port), "--workers", "1", "--batch", str(batch),
             "--log-level", "error"])
        while not port.exists():
            if self.process.poll() is not None:
                raise SystemExit("cleaved did not start")
            time.sleep(0.01)
        self.port = int(port.read_text())

    def close(self) -> None:
        """End the server."""
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def ask(self, connection: http.client.HTTPConnection, path: str, body: bytes,
            headers: dict[str, str]) -> bytes:
        """POST; the answer's body, which must be a 200."""
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {content.decode(errors='replace')}")
        return content

    def connect(self) -> http.client.HTTPConnection:
        """A new connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def counters(self) -> list[float]:
        """The COUNTERS, each summed over its labels."""
        connection = self.connect()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        return [sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)))
                for name in COUNTERS]

    def frame(self, model: str, jpeg: bytes) -> bytes:
        """The frame of a picture."""
        return self.ask(self.connect(), f"/v1/models/{model}/encode?point={POINT}", jpeg,
                        {"Content-Type": "image/jpeg"})

    def burst(self, model: str, frame: bytes, seconds: float) -> Cost:
        """Frames over CONNECTIONS connections, each as soon as the one before is answered."""
        taken: list[float] = []
        end = time.monotonic() + seconds

        def send() -> None:
            connection = self.connect()
            while time.monotonic() < end:
                begun = time.monotonic()
                self.ask(connection, f"/v1/models/{model}/tail", frame, FRAME_TYPE)
                taken.append((time.monotonic() - begun) * 1e3)

        before = self.counters()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for sender in [pool.submit(send) for _ in range(CONNECTIONS)]:
                sender.result()
        cpu, frames, runs = (b - a for a, b in zip(before, self.counters()))
        taken.sort()
        return Cost(cpu * 1e3 / len(taken), taken[len(taken) // 2], taken[len(taken) * 99 // 100],
                    frames / runs, len(taken) / seconds)
