"""Clients that hold connections and give little: python crowd.py PORT SLOW DRIPPING

Keeps SLOW connections open that begin a request and then say nothing (half of them in the header,
half in the body), and DRIPPING ones that send a byte of header now and then; each that the server
cuts off comes again. From many addresses of 127.0.0.0/8, so that no limit of one client's holds
them. Prints a line when all are there, and as JSON how often it was cut off at its end (SIGTERM).
"""

from __future__ import annotations

import heapq
import json
import resource
import selectors
import signal
import socket
import sys
import time

PER_ADDRESS = 100
DRIP_S = 0.2
BEGUN = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
WITH_BODY = BEGUN + b"Content-Length: 50000\r\n\r\n\xff\xd8"
ENDLESS = BEGUN + b"X-Filler: "


class Crowd:
    """All connections; `number` says which kind one is."""

    def __init__(self, port: int, slow: int, dripping: int) -> None:
        self.port, self.slow, self.count = port, slow, slow + dripping
        self.selector = selectors.DefaultSelector()
        self.drips: list[tuple[float, int, socket.socket]] = []
        self.links: dict[int, socket.socket] = {}
        self.cut = 0

    def come(self, number: int) -> None:
        """Connect and begin a request."""
        address = 2 + number // PER_ADDRESS
        link = socket.socket()
        link.bind((f"127.0.{1 + address // 250}.{1 + address % 250}", 0))
        link.connect(("127.0.0.1", self.port))
        link.setblocking(False)
        self.links[number] = link
        self.selector.register(link, selectors.EVENT_READ, number)
        if number >= self.slow:
            link.send(ENDLESS)
            heapq.heappush(self.drips, (time.monotonic() + DRIP_S, number, link))
        else:
            link.send(WITH_BODY if number % 2 else BEGUN)

    def come_again(self, number: int) -> None:
        """After the server said or did something, which can only be the end."""
        self.cut += 1
        link = self.links.pop(number)
        self.selector.unregister(link)
        link.close()
        self.come(number)

    def drip(self) -> float:
        """One byte for each that is due; seconds until the next."""
        now = time.monotonic()
        while self.drips and self.drips[0][0] <= now:
            due, number, link = heapq.heappop(self.drips)
            try:
                link.send(b"x")
            except OSError:
                continue  # it was cut off; the one in its place drips by itself
            heapq.heappush(self.drips, (due + DRIP_S, number, link))
        return self.drips[0][0] - now if self.drips else 1.0

    def run(self) -> None:
        """Until SIGTERM."""
        for number in range(self.count):
            self.come(number)
        print(json.dumps({"connections": len(self.links)}), flush=True)
        while True:
            for key, _ in self.selector.select(max(0.0, self.drip())):
                self.come_again(key.data)


def end(*_: object) -> None:
    """SIGTERM's."""
    raise SystemExit


def main() -> None:
    """Run, and say what happened."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, end)
    crowd = Crowd(*map(int, sys.argv[1:4]))
    try:
        crowd.run()
    finally:
        print(json.dumps({"cut": crowd.cut}), flush=True)


if __name__ == "__main__":
    main()
