"""The package against a real cleaved; CLEAVE_BIN and CLEAVE_LIBRARY say which build's."""

import os
import pathlib
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from cleave import Cleave, CleaveError, Status, version

ROOT = pathlib.Path(__file__).parents[3]
TINY = ROOT / "tests/data/tiny.safetensors"
CAT = (ROOT / "models/samples/cat.jpg").read_bytes()


class Server:
    """A cleaved on a free port."""

    def __init__(self, folder: pathlib.Path) -> None:
        port_file = folder / "port"
        self.process = subprocess.Popen(
            [
                pathlib.Path(os.environ["CLEAVE_BIN"]) / "cleaved",
                *("--listen", "127.0.0.1:0", "--model", TINY, "--port-file", port_file),
            ],
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text()):
            assert self.process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{port_file.read_text().strip()}"

    def kill(self) -> None:
        """Pull the plug."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Server]:
    """Start a server for one test."""
    started = Server(tmp_path)
    yield started
    started.kill()


@pytest.fixture
def device(server: Server, tmp_path: pathlib.Path) -> Iterator[Cleave]:
    """Open a handle on it."""
    with Cleave(server.url, cache_dir=tmp_path / "cache", top=3) as opened:
        yield opened


def test_every_way(device: Cleave) -> None:
    """Offload, split and local answer, and say so."""
    assert device.notice == ""
    for point in ("offload", "split", "local"):
        result = device.classify(CAT, point)
        assert result.via == point
        assert result.reason
        assert (result.bytes_sent == 0) == (point == "local")
        assert len(result.top) == 3
        assert result.top[0].probability >= result.top[1].probability > 0
        assert result.top[0].label
    assert device.classify(CAT, deadline_ms=5000).via in ("offload", "split", "local")


def test_futures(device: Cleave) -> None:
    """Each future has its own picture's outcome."""
    expected = device.classify(CAT, "w100-high").top[0]
    futures = [device.submit(b"no JPEG" if i % 5 == 0 else CAT, "w100-high") for i in range(20)]
    for i, future in enumerate(futures):
        if i % 5 == 0:
            error = future.exception(timeout=60)
            assert isinstance(error, CleaveError) and error.status == Status.PICTURE
        else:
            top = future.result(timeout=60).top[0]
            assert top.index == expected.index
            assert top.probability == pytest.approx(expected.probability, abs=1e-5)


def test_points_and_link(device: Cleave) -> None:
    """Metadata and measures arrive as Python values."""
    points = {point.id: point for point in device.points()}
    assert points["w100-high"].kind == "split"
    assert min(points["w100-high"].latent) > 0
    assert points["local"].tail_macs == 0
    link = device.probe(2)
    assert link.samples == 2
    assert link.up_bps_median > 0


def test_errors(device: Cleave) -> None:
    """A failure is an exception with its status and reason."""
    with pytest.raises(CleaveError, match="empty") as caught:
        device.classify(b"")
    assert caught.value.status == Status.PICTURE
    with pytest.raises(CleaveError, match="no point"):
        device.classify(CAT, "nosuch")
    with pytest.raises(CleaveError) as caught:
        Cleave("gopher://x")
    assert caught.value.status == Status.USAGE
    device.close()
    device.close()
    with pytest.raises(ValueError, match="closed"):
        device.classify(CAT)


def test_server_dies(server: Server, tmp_path: pathlib.Path) -> None:
    """Another server takes over, then the device, and the log says so."""
    said: list[tuple[str, str]] = []
    (tmp_path / "other").mkdir()
    other = Server(tmp_path / "other")
    with Cleave(
        [server.url, other.url],
        cache_dir=tmp_path / "cache",
        log=lambda level, text: said.append((level, text)),
    ) as device:
        assert device.classify(CAT, "offload").server == 0
        server.kill()
        assert device.classify(CAT, "offload").server == 1
        other.kill()
        assert device.classify(CAT, "offload").via == "local"
    assert any(level == "warning" and "going on with" in text for level, text in said)


def test_threads_share_a_handle(device: Cleave) -> None:
    """Calls of several threads do not disturb each other."""
    wrong: list[str] = []

    def work(point: str) -> None:
        wrong.extend(point for _ in range(5) if device.classify(CAT, point).via != point)

    threads = [threading.Thread(target=work, args=(way,)) for way in ("offload", "split", "local")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_without_a_server() -> None:
    """A bundle is enough to answer."""
    with Cleave(bundle=TINY) as device:
        assert device.classify(CAT).via == "local"
    assert version().count(".") == 2
