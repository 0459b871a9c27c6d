"""Holds the shaped link of bench/link/run to its rates, also when they fall under a full queue.

usage: check_network.py FOLDER_OF_NETWORK_PY
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, sys.argv[1])
import network

SKIPPED = 77
RATES_MBIT_PER_S = (40, 2, 10, 1)
SETTLES_S, MEASURED_S = 1.0, 1.0
# What the bucket held counts beyond the rate; a busy machine passes less.
LEAST, MOST = 0.2, 1.2
PORT = 9000
SWALLOW = f"""
import socket
door = socket.create_server(("{network.SERVER_ADDRESS}", {PORT}))
print("ready", flush=True)
end, _ = door.accept()
while end.recv(1 << 16):
    pass
"""
FLOOD = f"""
import socket
end = socket.create_connection(("{network.SERVER_ADDRESS}", {PORT}))
while True:
    end.sendall(bytes(1 << 16))
"""


def lacks() -> str:
    """What a shaped link needs and is not there, or nothing."""
    if os.geteuid() != 0:
        return "root"
    missing = [tool for tool in ("ip", "tc", "ethtool", "setpriv") if not shutil.which(tool)]
    if missing:
        return ", ".join(missing)
    try:
        with network.Network(0) as wire:
            network.checked(*wire.command("device", "tc", "qdisc", "replace", "dev", "shaped",
                                          "root", "tbf", "rate", "1mbit", "burst", 600, "limit",
                                          600))
    except RuntimeError as error:
        return f"a kernel that allows: {error}"
    return ""


def sent_bytes(wire: network.Network) -> int:
    """By the device, since it is there."""
    counter = "/sys/class/net/shaped/statistics/tx_bytes"
    return int(subprocess.run(wire.command("device", "cat", counter), check=True,
                              capture_output=True, text=True).stdout)


def rate_mbit_per_s(wire: network.Network) -> float:
    """What really leaves the device."""
    before, began_s = sent_bytes(wire), time.monotonic()
    time.sleep(MEASURED_S)
    return (sent_bytes(wire) - before) * 8e-6 / (time.monotonic() - began_s)


def main() -> int:
    """Flood the link at each rate in turn."""
    lacking = lacks()
    if lacking:
        print(f"skipped: needs {lacking}")
        return SKIPPED
    failures = 0
    with network.Network(10) as wire:
        wire.set_rate(RATES_MBIT_PER_S[0])
        server = wire.start("server", sys.executable, "-c", SWALLOW, stdout=subprocess.PIPE)
        server.stdout.readline()
        wire.start("device", sys.executable, "-c", FLOOD)
        for wanted in RATES_MBIT_PER_S:
            wire.set_rate(wanted)
            time.sleep(SETTLES_S)
            got = rate_mbit_per_s(wire)
            print(f"{wanted} Mbit/s: {got:.2f}")
            failures += not LEAST * wanted <= got <= MOST * wanted
    return failures


if __name__ == "__main__":
    sys.exit(main())
