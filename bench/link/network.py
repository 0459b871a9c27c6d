"""A device and a server in network namespaces of their own, with a slow link between them.

    cleave-device-N            cleave-wire-N             cleave-server-N
    10.83.0.1, tbf  <-veth->  relay: delay, loss  <-veth->  10.83.0.2, tbf

Needs root. Everything that runs here dies with the script; namespaces that a killed script left
behind are removed by the next.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import threading
from collections.abc import Iterator, Sequence

RELAY = pathlib.Path(__file__).with_name("relay")
SERVER_ADDRESS = "10.83.0.2"
PLACES = {"device": "10.83.0.1/24", "wire": None, "server": SERVER_ADDRESS + "/24"}
# Short frames, so that the bucket of the shaper is small, too: what it holds leaves at once, and
# would flatter small requests. TCP hands a shaper several frames as one, whatever ethtool says; one
# that does not fit into the bucket of a lower rate would block it until the rate is as high again.
# So each frame goes by itself (gso_max_segs 1).
MTU_BYTES = 576
BUCKET_BYTES = 600
BUCKET_S = 0.004
QUEUE_BYTES = 65536
# What "nothing at all" is for a shaper that knows no zero.
LEAST_MBIT_PER_S = 0.008


def checked(*command: object) -> None:
    """Run it quietly; raises with what it said if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(done.args)}: {done.stderr.strip()}")


def remove_leftovers() -> None:
    """Remove namespaces whose script is no more."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        place, _, owner = line.split()[0].removeprefix("cleave-").partition("-")
        if place in PLACES and not pathlib.Path("/proc", owner).exists():
            checked("ip", "netns", "delete", f"cleave-{place}-{owner}")


class Network:
    """The namespaces and what runs in them; a context manager that leaves nothing behind."""

    def __init__(self, delay_ms: float) -> None:
        self.delay_ms = delay_ms
        self.processes: list[subprocess.Popen] = []
        self.shapers: list[subprocess.Popen] = []
        self.relay: subprocess.Popen | None = None

    def name(self, place: str) -> str:
        """The namespace's."""
        return f"cleave-{place}-{os.getpid()}"

    def command(self, place: str, *command: object) -> list[str]:
        """What runs `command` there, and ends when this script ends."""
        return ["ip", "netns", "exec", self.name(place), "setpriv", "--pdeathsig", "KILL",
                *(str(part) for part in command)]

    def start(self, place: str, *command: object, **options: object) -> subprocess.Popen:
        """Start something that stays until the network goes."""
        process = subprocess.Popen(self.command(place, *command), **options)
        self.processes.append(process)
        return process

    def __enter__(self) -> Network:
        remove_leftovers()
        try:
            for place in PLACES:
                checked("ip", "netns", "add", self.name(place))
            for place in ("device", "server"):
                self._join(place)
            self.set_loss(0.0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for place in PLACES:
            with contextlib.suppress(RuntimeError):
                checked("ip", "netns", "delete", self.name(place))

    def _join(self, place: str) -> None:
        """A veth from one place to the wire, with a shaper at its end."""
        there, wire = self.name(place), self.name("wire")
        checked("ip", "link", "add", "name", "shaped", "netns", there, "type", "veth",
                "peer", "name", place, "netns", wire)
        for namespace, end in ((there, "shaped"), (wire, place)):
            inside = ("ip", "netns", "exec", namespace)
            checked(*inside, "ethtool", "-K", end, "tx", "off", "tso", "off", "gso", "off",
                    "gro", "off")
            checked(*inside, "ip", "link", "set", end, "mtu", MTU_BYTES, "gso_max_segs", 1, "up")
        checked("ip", "-n", there, "link", "set", "lo", "up")
        checked("ip", "-n", there, "address", "add", PLACES[place], "dev", "shaped")
        self.shapers.append(self.start(place, "tc", "-batch", "-", stdin=subprocess.PIPE, text=True,
                                       bufsize=1))

    def set_rate(self, mbit_per_s: float) -> None:
        """Both ways, from now on."""
        mbit_per_s = max(mbit_per_s, LEAST_MBIT_PER_S)
        bucket = max(BUCKET_BYTES, round(mbit_per_s * 125000 * BUCKET_S))
        for shaper in self.shapers:
            shaper.stdin.write(f"qdisc replace dev shaped root tbf rate {mbit_per_s * 1e6:.0f}bit "
                               f"burst {bucket} limit {QUEUE_BYTES}\n")

    def set_loss(self, share: float) -> None:
        """Of frames, each way, from now on."""
        if self.relay:
            self.relay.kill()
            self.relay.wait()
        self.relay = self.start("wire", RELAY, "device", "server", "--delay-ms", self.delay_ms,
                                "--loss", share, stdout=subprocess.PIPE)
        self.relay.stdout.readline()

    @contextlib.contextmanager
    def playing(self, mbit_per_s: Sequence[float], step_s: float) -> Iterator[threading.Event]:
        """Play the rates, `step_s` each; the event is set at their end."""
        ended, stop = threading.Event(), threading.Event()

        def play() -> None:
            shaped = None
            for rate in mbit_per_s:
                # Setting a rate fills the bucket; a rate that stays must not.
                if rate != shaped:
                    self.set_rate(rate)
                shaped = rate
                if stop.wait(step_s):
                    return
            ended.set()

        player = threading.Thread(target=play)
        player.start()
        try:
            yield ended
        finally:
            stop.set()
            player.join()
