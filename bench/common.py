"""What the benches share: where things are, the release build, a cleaved of their own, figures."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = ROOT / "build" / "release" / "bin"
CACHE = ROOT / "build" / "bench"
MODEL = ROOT / "models" / "default.safetensors"
SAMPLES = ROOT / "models" / "samples"
START_S = 60.0
POLL_S = 0.0005


def build(*packages: str) -> None:
    """The release build with the programs of bench/, once BUILD_PACKAGES and these are there."""
    script = ('. scripts/setup.sh; need_packages "${BUILD_PACKAGES[@]}" "$@"; '
              'build release -DCLEAVE_BENCH=ON')
    subprocess.run(["bash", "-euo", "pipefail", "-c", script, "build", *packages], cwd=ROOT,
                   check=True, stdout=sys.stderr)


def figure(name: str, value: float, unit: str, *, most: float | None = None,
           least: float | None = None) -> dict:
    """One figure with its target, if it has one: at most or at least so much."""
    target = least if most is None else most
    met = None if target is None else value >= target if most is None else value <= target
    return {"name": name, "value": value, "unit": unit, "target": target, "met": met}


def print_table(title: str, figures: list[dict]) -> None:
    """As Markdown; ✗ marks a target that was missed."""
    print(f"| {title} | measured | target |\n| --- | --- | --- |")
    for row in figures:
        unit = "" if row["unit"] in ("", "ratio") else " " + row["unit"]
        value = f"{row['value']:.0f}" if abs(row["value"]) >= 1000 else f"{row['value']:.3g}"
        target = "" if row["target"] is None else f"{row['target']:g}{'' if row['met'] else ' ✗'}"
        print(f"| {row['name']} | {value}{unit} | {target} |")


def write_json(path: pathlib.Path | None, figures: list[dict]) -> None:
    """What --json FILE asks for."""
    if path:
        path.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def on(cores: list[int] | None, *command: object) -> list[str]:
    """The command line that keeps a program to these cores; None: to no certain ones."""
    pinned = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
    return [*pinned, *map(str, command)]


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        return made.getsockname()[1]


class Server:
    """A server on some cores; a context manager that waits until it answers, and ends it.

    `began` is the monotonic time of its start, `ready_ms` from then to the first 200 of `health`.
    """

    def __init__(self, cores: list[int] | None, health: str, port: int,
                 command: list[object]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port, self.health = port, health
        self.began = time.monotonic()
        self.process = subprocess.Popen(on(cores, *command), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)

    def get(self, path: str) -> str:
        """The body of an answer, which must be a 200."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read().decode()

    def post(self, path: str, kind: str, body: bytes) -> bytes:
        """The same of what is posted."""
        request = urllib.request.Request(self.url + path, body, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def __enter__(self) -> Server:
        while True:
            try:
                self.get(self.health)
                self.ready_ms = (time.monotonic() - self.began) * 1e3
                return self
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > self.began + START_S:
                    self.end()
                    raise
                time.sleep(POLL_S)

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> int:
        """SIGTERM; the exit status. Workers that LitServe leaves behind end with it."""
        self.process.terminate()
        status = self.process.wait(timeout=START_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return status

    def memory_mb(self) -> dict[str, float]:
        """Memory in MB (10^6 bytes): `Rss`, and `Pss` that counts shared pages by their share."""
        rollup = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        fields = (line.split() for line in rollup.splitlines()[1:])
        return {field[0].rstrip(":"): int(field[1]) * 1024 / 1e6 for field in fields}


class Cleaved(Server):
    """cleaved on the default bundle, a worker for each of the cores, all else as it comes."""

    def __init__(self, cores: list[int] | None = None, *options: object,
                 program: pathlib.Path = BIN / "cleaved") -> None:
        port = free_port()
        workers = ["--workers", len(cores)] if cores else []
        super().__init__(cores, "/readyz", port, [program, "--model", MODEL, "--listen",
                                                  f"127.0.0.1:{port}", *workers, *options])

    def model(self) -> str:
        """What the bundle calls itself."""
        return json.loads(self.get("/v1/models"))["models"][0]["name"]

    def metric(self, pattern: str) -> float:
        """Sum of the metrics whose line begins with `pattern`."""
        return sum(float(line.split()[-1]) for line in self.get("/metrics").splitlines()
                   if re.match(pattern, line))
