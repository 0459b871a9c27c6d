"""A slow processor: a control group whose processes get a share of one CPU."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time

V1 = pathlib.Path("/sys/fs/cgroup/cpu")
V2 = pathlib.Path("/sys/fs/cgroup")
# A short turn, so that a picture takes many of them. The kernel looks at its ticks, 4 ms apart, and
# takes back later what was too much.
TURN_US = 2000
LONGEST_PERIOD_US = 1_000_000


class Slowdown:
    """The control group; a context manager. `share` of one CPU, set before anything joins."""

    def __init__(self) -> None:
        self.is_v1 = (V1 / "cpu.cfs_quota_us").exists()
        self.group = (V1 if self.is_v1 else V2) / f"cleave-link-{os.getpid()}"
        self.kind = f"control group v{1 if self.is_v1 else 2}, CPU quota"

    def __enter__(self) -> Slowdown:
        if not self.is_v1:
            (V2 / "cgroup.subtree_control").write_text("+cpu")
        self.group.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        # A process that was killed leaves its group a moment later.
        for _ in range(100):
            with contextlib.suppress(OSError):
                self.group.rmdir()
                return
            time.sleep(0.02)

    def set_share(self, share: float) -> None:
        """Of one CPU, at most 1."""
        period_us = min(round(TURN_US / min(share, 1.0)), LONGEST_PERIOD_US)
        quota_us = round(period_us * min(share, 1.0))
        if self.is_v1:
            (self.group / "cpu.cfs_period_us").write_text(str(period_us))
            (self.group / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (self.group / "cpu.max").write_text(f"{quota_us} {period_us}")

    def join(self) -> None:
        """Put the calling process in, and so what it becomes."""
        (self.group / "cgroup.procs").write_text(str(os.getpid()))
