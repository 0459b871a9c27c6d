"""The peers of the server bench: installed, given their networks, started; answers of programs."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

from common import CACHE, ROOT, Server, build, free_port, on

HERE = ROOT / "bench" / "server"
PEERS = CACHE / "server"
PYTHON = PEERS / "venv" / "bin" / "python"


def prepare() -> None:
    """Build the programs, and install the peers unless that is done."""
    build("python3-venv", "wrk")
    requirements = HERE / "requirements.txt"
    stamp = PEERS / "requirements.stamp"
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return
    PEERS.mkdir(parents=True, exist_ok=True)
    subprocess.run(["python3", "-m", "venv", PEERS / "venv"], check=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "-r", requirements], check=True)
    stamp.write_text(requirements.read_text())


def write_networks(folder: pathlib.Path, point: str) -> None:
    """The peers' files, made of the bundle as it is now."""
    search = os.pathsep.join(str(ROOT / part) for part in ("train", "bench/engines"))
    subprocess.run([PYTHON, HERE / "write_networks.py", folder, point], check=True,
                   env=os.environ | {"PYTHONPATH": search}, stdout=subprocess.DEVNULL)


def answer_of(cores: list[int], *command: object) -> dict:
    """Run it on these cores; the JSON of its last line."""
    done = subprocess.run(on(cores, *command), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


class Peer(Server):
    """One of the peers."""

    def __init__(self, name: str, cores: list[int], networks: pathlib.Path) -> None:
        port = free_port()
        super().__init__(cores, "/health", port, [
            PYTHON, HERE / f"peer_{name}.py", networks, port, len(cores)])
