"""Servers, load and memory of the server bench: processes on cores of their own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "bench" / "server"
RELEASE = ROOT / "build" / "release" / "bin"
MODEL = ROOT / "models" / "default.safetensors"
CACHE = ROOT / "build" / "bench" / "server"
PYTHON = CACHE / "venv" / "bin" / "python"
START_S = 60.0


def prepare(*, peers: bool) -> None:
    """Build the programs, and install the peers and write their networks unless that is done."""
    script = ('. scripts/setup.sh; need_packages "${BUILD_PACKAGES[@]}" python3-venv wrk; '
              'build release -DCLEAVE_BENCH=ON')
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, check=True)
    requirements = HERE / "requirements.txt"
    stamp = CACHE / "requirements.stamp"
    if not peers or (stamp.exists() and stamp.read_text() == requirements.read_text()):
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["python3", "-m", "venv", CACHE / "venv"], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "-r", requirements], check=True)
    stamp.write_text(requirements.read_text())


def write_networks(folder: pathlib.Path, point: str) -> None:
    """The peers' files, made of the bundle as it is now."""
    search = os.pathsep.join(str(ROOT / part) for part in ("train", "bench/engines"))
    subprocess.run([PYTHON, HERE / "write_networks.py", folder, point], check=True,
                   env=os.environ | {"PYTHONPATH": search}, stdout=subprocess.DEVNULL)


def on(cores: list[int], *command: object) -> list[str]:
    """The command line that keeps a program to these cores."""
    return ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]


def answer_of(cores: list[int], *command: object) -> dict:
    """Run it there; the JSON of its last line."""
    done = subprocess.run(on(cores, *command), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        return made.getsockname()[1]


class Server:
    """A server on some cores; a context manager that waits until it answers, and ends it."""

    def __init__(self, cores: list[int], health: str, port: int, command: list[object]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port, self.health = port, health
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
        end = time.monotonic() + START_S
        while True:
            try:
                self.get(self.health)
                return self
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> int:
        """SIGTERM; the exit status. Workers that LitServe leaves behind end with it."""
        self.process.terminate()
        status = self.process.wait(timeout=START_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return status

    def resident_mb(self) -> float:
        """Resident memory of the first process, in MB (10^6 bytes)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 / 1e6


class Cleaved(Server):
    """cleaved on the default bundle, a worker for each core, all else as it comes."""

    def __init__(self, cores: list[int], *options: object, bin: pathlib.Path = RELEASE) -> None:
        port = free_port()
        super().__init__(cores, "/readyz", port, [
            bin / "cleaved", "--model", MODEL, "--listen", f"127.0.0.1:{port}", "--workers",
            len(cores), *options])

    def metric(self, pattern: str) -> float:
        """Sum of the metrics whose line begins with `pattern`."""
        return sum(float(line.split()[-1]) for line in self.get("/metrics").splitlines()
                   if re.match(pattern, line))


class Peer(Server):
    """One of the peers."""

    def __init__(self, name: str, cores: list[int], networks: pathlib.Path) -> None:
        port = free_port()
        super().__init__(cores, "/health", port, [
            PYTHON, HERE / f"peer_{name}.py", networks, port, len(cores)])
