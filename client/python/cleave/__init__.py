"""Classify pictures on a weak device with a server's help: libcleave from Python.

A `Cleave` is thread-safe. What the calls mean in detail is written in cleave.h.
"""

import ctypes
import enum
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cleave import _library

__all__ = [
    "Class",
    "Cleave",
    "CleaveError",
    "Decision",
    "Forecast",
    "Link",
    "Point",
    "Result",
    "Status",
    "explain",
    "version",
]


class Status(enum.IntEnum):
    """Why a call failed; enum cleave_status."""

    USAGE = 1  # a wrong option or argument
    PICTURE = 2  # not a JPEG that can be classified
    UNREACHABLE = 3  # no server, and no local network to answer
    DEADLINE = 4  # the deadline passed before any answer
    SERVER = 5  # the server refused
    BUNDLE = 6  # the model file is damaged or lacks a part
    SYSTEM = 7  # memory or file system


class CleaveError(Exception):
    """A failed call: `status`, and the reason as one sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = Status(status)


@dataclass(frozen=True, slots=True)
class Class:
    """One class of an answer; `probability` is a fraction."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Result:
    """How one picture was answered; times in milliseconds, `top` best first."""

    point: str
    via: str  # "offload", "split", "local", "exit"
    reason: str
    bytes_sent: int
    device_ms: float
    link_ms: float
    server_ms: float
    server: int  # place in the list of servers
    joules: float  # of the device, by the energy model
    machine_joules: float | None  # of the whole machine, where it has a meter
    top: tuple[Class, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point; what was not measured is None."""

    id: str
    kind: str
    codec: str
    width: float
    rate: str
    ensemble: int
    latent: tuple[int, int, int]  # height, width, channels
    head_macs: int
    tail_macs: int
    bytes_mean: float | None
    bytes_p95: float | None
    top1: float | None
    top5: float | None
    pictures: int
    expected_ms: float | None
    quality: int  # of the JPEG that is sent; 0: the picture as it is
    exit_threshold: float | None  # probability from which on the exit answers; None: no exit
    exit_share: float | None  # of the pictures that end there


@dataclass(frozen=True, slots=True)
class Link:
    """State of the link: milliseconds, and bits per second."""

    samples: int
    rtt_ms_median: float
    rtt_ms_p95: float
    rtt_ms_min: float
    up_bps_median: float
    up_bps_p05: float
    down_bps_median: float
    down_bps_p05: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one point was predicted to do, and by what it was taken or not."""

    point: str
    verdict: str
    expected_ms: float
    p95_ms: float
    in_time: float  # chance to meet the deadline
    bytes: float
    joules: float
    top1: float | None
    stays: float  # chance that the exit answers


@dataclass(frozen=True, slots=True)
class Decision:
    """One "auto" decision with the table that it was made from."""

    unix_ms: int
    objective: str
    reason: str
    deadline_ms: float | None
    jpeg_bytes: int
    rtt_ms: float
    ms_per_kb: float
    forecasts: tuple[Forecast, ...]


_VIA = ("offload", "split", "local", "exit")
_OBJECTIVES = ("latency", "accuracy", "energy")
_LEVELS = ("note", "warning")


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _encode(text: str | os.PathLike[str] | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _result(raw: _library.Result) -> Result:
    top = (Class(c.index, _text(c.label), c.probability) for c in raw.top[: raw.top_count])
    return Result(
        point=_text(raw.point),
        via=_VIA[raw.via],
        reason=_text(raw.reason),
        bytes_sent=raw.bytes_sent,
        device_ms=raw.device_ms,
        link_ms=raw.link_ms,
        server_ms=raw.server_ms,
        server=raw.server,
        joules=raw.joules,
        machine_joules=raw.machine_joules if raw.machine_joules >= 0 else None,
        top=tuple(top),
    )


def _point(raw: _library.Point) -> Point:
    def measured(value: float) -> float | None:
        return value if value >= 0 else None

    return Point(
        id=_text(raw.id),
        kind=_text(raw.kind),
        codec=_text(raw.codec),
        width=raw.width,
        rate=_text(raw.rate),
        ensemble=raw.ensemble,
        latent=(raw.latent_height, raw.latent_width, raw.latent_channels),
        head_macs=raw.head_macs,
        tail_macs=raw.tail_macs,
        bytes_mean=measured(raw.bytes_mean),
        bytes_p95=measured(raw.bytes_p95),
        top1=measured(raw.top1),
        top5=measured(raw.top5),
        pictures=raw.pictures,
        expected_ms=measured(raw.expected_ms),
        quality=raw.quality,
        exit_threshold=raw.exit_threshold or None,
        exit_share=measured(raw.exit_share) if raw.exit_threshold else None,
    )


class Cleave:
    """A handle of libcleave. Close it, or use it in a `with` statement.

    `servers`: one URL, or several in the order of preference; none to answer on the device
    alone, by `bundle`. `log` is called with "note" or "warning" and a sentence, in a thread
    of the library. `objective`: "latency" (with a deadline the most accurate answer in time),
    "accuracy" or "energy"; `bytes_per_picture`: a data plan. Zero and None mean the defaults
    that cleave.h tells.
    """

    def __init__(
        self,
        servers: str | Sequence[str] | None = None,
        *,
        model: str | None = None,
        bundle: str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        heads_only: bool = False,
        connect_timeout_ms: int = 0,
        request_timeout_ms: int = 0,
        top: int = 0,
        threads: int = 0,
        objective: str = "latency",
        bytes_per_picture: float = 0,
        joules_per_cpu_second: float = 0,
        joules_per_byte: float = 0,
        log: Callable[[str, str], None] | None = None,
        token: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        hedge: bool = False,
        library: str | os.PathLike[str] | None = None,
    ) -> None:
        self._handle = ctypes.c_void_p()
        self._library = _library.load(library)
        urls = [servers] if isinstance(servers, str) else list(servers or [])
        encoded = [url.encode() for url in urls]
        others = (ctypes.c_char_p * (len(encoded) + 1))(*encoded[1:], None)

        def on_log(_context: int | None, level: int, text: bytes) -> None:
            if log:
                log(_LEVELS[level], _text(text))

        # The library calls these as long as the handle lives.
        self._on_log = _library.LOG(on_log)
        self._on_answer = _library.CALLBACK(self._answer)
        self._numbers = itertools.count(1)
        self._pending: dict[int, tuple[Future[Result], bytes]] = {}
        options = _library.Options(
            server_url=encoded[0] if encoded else None,
            model=_encode(model),
            bundle_path=_encode(bundle),
            cache_dir=_encode(cache_dir),
            heads_only=heads_only,
            connect_timeout_ms=connect_timeout_ms,
            request_timeout_ms=request_timeout_ms,
            top=top,
            fallback_urls=others,
            threads=threads,
            log=self._on_log,
            objective=_OBJECTIVES.index(objective),
            bytes_per_picture=bytes_per_picture,
            joules_per_cpu_second=joules_per_cpu_second,
            joules_per_byte=joules_per_byte,
            token=_encode(token),
            ca_file=_encode(ca_file),
            hedge=hedge,
        )
        self._call("cleave_open", ctypes.byref(options), ctypes.byref(self._handle))

    def _call(self, function: str, *arguments: object) -> None:
        error = _library.Error()
        status = getattr(self._library, function)(*arguments, ctypes.byref(error))
        if status != 0:
            raise CleaveError(status, _text(error.text))

    def _open_handle(self) -> ctypes.c_void_p:
        if not self._handle:
            raise ValueError("the handle is closed")
        return self._handle

    def close(self) -> None:
        """Wait for what was submitted, and close. Closing again does nothing."""
        if self._handle:
            self._library.cleave_close(ctypes.byref(self._handle))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def notice(self) -> str:
        """What opening had to work around, or ""."""
        return _text(self._library.cleave_notice(self._open_handle()))

    def classify(self, jpeg: bytes, point: str = "auto", deadline_ms: int = 0) -> Result:
        """Classify one JPEG by an operating point's id, "offload", "split", "local" or "auto"."""
        result = _library.Result()
        self._call(
            "cleave_classify",
            self._open_handle(),
            jpeg,
            len(jpeg),
            point.encode(),
            deadline_ms,
            ctypes.byref(result),
        )
        return _result(result)

    def submit(self, jpeg: bytes, point: str = "auto", deadline_ms: int = 0) -> Future[Result]:
        """Classify in a thread of the library; wait while as many as `threads` are in progress.

        Not to be called from a callback of a future.
        """
        number = next(self._numbers)
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        self._pending[number] = (future, jpeg)  # the library borrows the bytes
        try:
            self._call(
                "cleave_submit",
                self._open_handle(),
                jpeg,
                len(jpeg),
                point.encode(),
                deadline_ms,
                self._on_answer,
                number,
            )
        except BaseException:
            del self._pending[number]
            raise
        return future

    def _answer(
        self,
        number: int,
        status: int,
        result: "ctypes._Pointer[_library.Result]",
        error: "ctypes._Pointer[_library.Error]",
    ) -> None:
        future, _ = self._pending.pop(number)
        if status == 0:
            future.set_result(_result(result.contents))
        else:
            future.set_exception(CleaveError(status, _text(error.contents.text)))

    def points(self) -> list[Point]:
        """List the operating points with what they cost and are worth."""
        count = ctypes.c_size_t()
        handle = self._open_handle()
        self._call("cleave_points", handle, None, 0, ctypes.byref(count))
        raw = (_library.Point * count.value)()
        self._call("cleave_points", handle, raw, count.value, ctypes.byref(count))
        return [_point(point) for point in raw[: count.value]]

    def probe(self, samples: int = 10) -> Link:
        """Measure round trip and throughput with a few bounded requests."""
        link = _library.Link()
        self._call("cleave_probe", self._open_handle(), samples, ctypes.byref(link))
        return Link(*(getattr(link, name) for name, _ in _library.Link._fields_))


def _forecast(raw: _library.Forecast) -> Forecast:
    return Forecast(
        point=_text(raw.point),
        verdict=_text(raw.verdict),
        expected_ms=raw.expected_ms,
        p95_ms=raw.p95_ms,
        in_time=raw.in_time,
        bytes=raw.bytes,
        joules=raw.joules,
        top1=raw.top1 if raw.top1 >= 0 else None,
        stays=raw.stays,
    )


def explain(
    server: str,
    *,
    model: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    library: str | os.PathLike[str] | None = None,
) -> Decision:
    """Tell the last decision that is kept in the cache for a server; nothing is asked of it."""
    options = _library.Options(
        server_url=server.encode(), model=_encode(model), cache_dir=_encode(cache_dir)
    )
    raw, error = _library.Decision(), _library.Error()
    status = _library.load(library).cleave_explain(
        ctypes.byref(options), ctypes.byref(raw), ctypes.byref(error)
    )
    if status != 0:
        raise CleaveError(status, _text(error.text))
    return Decision(
        unix_ms=raw.unix_ms,
        objective=_text(raw.objective),
        reason=_text(raw.reason),
        deadline_ms=raw.deadline_ms if raw.deadline_ms > 0 else None,
        jpeg_bytes=raw.jpeg_bytes,
        rtt_ms=raw.rtt_ms,
        ms_per_kb=raw.ms_per_kb,
        forecasts=tuple(_forecast(row) for row in raw.forecasts[: raw.forecast_count]),
    )


def version(library: str | os.PathLike[str] | None = None) -> str:
    """Tell the library's version, e.g. "0.1.0"."""
    return _text(_library.load(library).cleave_version())
