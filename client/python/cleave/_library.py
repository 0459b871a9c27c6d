"""The declarations of cleave.h for ctypes. tests/test_layout.py holds them against it."""

import ctypes
import ctypes.util
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_size_t,
    c_uint,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)

SONAME = "libcleave.so.0"
TOP_MAX = 100
FORECASTS_MAX = 64


class Error(Structure):
    """struct cleave_error."""

    _fields_ = [("status", c_int), ("text", c_char * 200)]


LOG = CFUNCTYPE(None, c_void_p, c_int, c_char_p)


class Options(Structure):
    """struct cleave_options."""

    _fields_ = [
        ("server_url", c_char_p),
        ("model", c_char_p),
        ("bundle_path", c_char_p),
        ("cache_dir", c_char_p),
        ("heads_only", c_int),
        ("no_bundle", c_int),
        ("connect_timeout_ms", c_uint),
        ("request_timeout_ms", c_uint),
        ("top", c_uint),
        ("fallback_urls", POINTER(c_char_p)),
        ("threads", c_uint),
        ("log", LOG),
        ("log_context", c_void_p),
        ("objective", c_int),
        ("bytes_per_picture", c_double),
        ("joules_per_cpu_second", c_double),
        ("joules_per_byte", c_double),
        ("token", c_char_p),
        ("ca_file", c_char_p),
        ("hedge", c_int),
    ]


class Class(Structure):
    """struct cleave_class."""

    _fields_ = [("index", c_uint32), ("label", c_char * 96), ("probability", c_double)]


class Result(Structure):
    """struct cleave_result."""

    _fields_ = [
        ("point", c_char * 48),
        ("via", c_int),
        ("reason", c_char * 120),
        ("bytes_sent", c_size_t),
        ("device_ms", c_double),
        ("link_ms", c_double),
        ("server_ms", c_double),
        ("server", c_uint),
        ("joules", c_double),
        ("machine_joules", c_double),
        ("top_count", c_uint),
        ("top", Class * TOP_MAX),
    ]


class Point(Structure):
    """struct cleave_point."""

    _fields_ = [
        ("id", c_char * 48),
        ("kind", c_char * 16),
        ("codec", c_char * 16),
        ("width", c_double),
        ("rate", c_char * 16),
        ("ensemble", c_uint),
        ("latent_height", c_uint16),
        ("latent_width", c_uint16),
        ("latent_channels", c_uint16),
        ("head_macs", c_uint64),
        ("tail_macs", c_uint64),
        ("bytes_mean", c_double),
        ("bytes_p95", c_double),
        ("top1", c_double),
        ("top5", c_double),
        ("pictures", c_uint),
        ("expected_ms", c_double),
        ("quality", c_uint),
        ("exit_threshold", c_double),
        ("exit_share", c_double),
    ]


class Link(Structure):
    """struct cleave_link."""

    _fields_ = [
        ("samples", c_uint),
        ("rtt_ms_median", c_double),
        ("rtt_ms_p95", c_double),
        ("rtt_ms_min", c_double),
        ("up_bps_median", c_double),
        ("up_bps_p05", c_double),
        ("down_bps_median", c_double),
        ("down_bps_p05", c_double),
    ]


class Forecast(Structure):
    """struct cleave_forecast."""

    _fields_ = [
        ("point", c_char * 48),
        ("verdict", c_char * 24),
        ("expected_ms", c_double),
        ("p95_ms", c_double),
        ("in_time", c_double),
        ("bytes", c_double),
        ("joules", c_double),
        ("top1", c_double),
        ("stays", c_double),
    ]


class Decision(Structure):
    """struct cleave_decision."""

    _fields_ = [
        ("unix_ms", c_int64),
        ("objective", c_char * 16),
        ("reason", c_char * 120),
        ("deadline_ms", c_double),
        ("jpeg_bytes", c_size_t),
        ("rtt_ms", c_double),
        ("ms_per_kb", c_double),
        ("forecast_count", c_uint),
        ("forecasts", Forecast * FORECASTS_MAX),
    ]


CALLBACK = CFUNCTYPE(None, c_void_p, c_int, POINTER(Result), POINTER(Error))

# Of each function: what it returns and what it takes.
FUNCTIONS = {
    "cleave_open": (c_int, [POINTER(Options), POINTER(c_void_p), POINTER(Error)]),
    "cleave_notice": (c_char_p, [c_void_p]),
    "cleave_close": (None, [POINTER(c_void_p)]),
    "cleave_classify": (
        c_int,
        [c_void_p, c_char_p, c_size_t, c_char_p, c_uint, POINTER(Result), POINTER(Error)],
    ),
    "cleave_submit": (
        c_int,
        [c_void_p, c_char_p, c_size_t, c_char_p, c_uint, CALLBACK, c_void_p, POINTER(Error)],
    ),
    "cleave_wait": (None, [c_void_p]),
    "cleave_points": (
        c_int,
        [c_void_p, POINTER(Point), c_size_t, POINTER(c_size_t), POINTER(Error)],
    ),
    "cleave_explain": (c_int, [POINTER(Options), POINTER(Decision), POINTER(Error)]),
    "cleave_probe": (c_int, [c_void_p, c_uint, POINTER(Link), POINTER(Error)]),
    "cleave_version": (c_char_p, []),
}


def load(path: str | os.PathLike[str] | None = None) -> ctypes.CDLL:
    """Load libcleave from `path`, from $CLEAVE_LIBRARY, or from where the system looks."""
    name = path or os.environ.get("CLEAVE_LIBRARY") or SONAME
    try:
        library = ctypes.CDLL(os.fspath(name))
    except OSError as failure:
        raise ImportError(f"libcleave cannot be loaded: {failure}") from failure
    for function, (returned, taken) in FUNCTIONS.items():
        getattr(library, function).restype = returned
        getattr(library, function).argtypes = taken
    return library
