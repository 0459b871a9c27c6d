"""The ctypes declarations held against cleave.h by the C compiler."""

import ctypes
import os
import pathlib
import re
import subprocess

import pytest

from cleave import _library

HEADER = pathlib.Path(__file__).parents[2] / "cleave.h"
STRUCTURES = {
    "cleave_error": _library.Error,
    "cleave_options": _library.Options,
    "cleave_class": _library.Class,
    "cleave_result": _library.Result,
    "cleave_point": _library.Point,
    "cleave_link": _library.Link,
    "cleave_forecast": _library.Forecast,
    "cleave_decision": _library.Decision,
}


def test_structures_lie_as_in_c(tmp_path: pathlib.Path) -> None:
    """Every member's offset and size, and every structure's size."""
    lines = [
        "#include <stddef.h>",
        "#include <stdio.h>",
        f'#include "{HEADER}"',
        "int main(void)",
        "{",
    ]
    expected = []
    for name, structure in STRUCTURES.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        expected.append(f"{name} {ctypes.sizeof(structure)}")
        for member, _ in structure._fields_:
            place = getattr(structure, member)
            lines.append(
                f'printf("{name}.{member} %zu %zu\\n", offsetof(struct {name}, {member}), '
                f"sizeof(((struct {name} *)0)->{member}));"
            )
            expected.append(f"{name}.{member} {place.offset} {place.size}")
    lines.append("}")
    source = tmp_path / "layout.c"
    source.write_text("\n".join(lines))
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-o", tmp_path / "layout", source], check=True)
    told = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True)
    assert told.stdout.splitlines() == expected


def test_every_function_is_declared() -> None:
    """None of the header's functions is missing but the one that only names an enum."""
    declared = set(re.findall(r"\b(cleave_\w+)\(", HEADER.read_text()))
    assert declared - set(_library.FUNCTIONS) == {"cleave_via_name"}


def test_a_missing_library_says_so() -> None:
    """The loader's own words reach the user."""
    with pytest.raises(ImportError, match="nowhere"):
        _library.load("/nowhere/libcleave.so")
