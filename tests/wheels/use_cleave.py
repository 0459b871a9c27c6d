"""Run where the wheel of cleave is installed: does it call libcleave?"""

import sys
from pathlib import Path

import cleave

home = Path(cleave.__file__).parent
assert home.is_relative_to(sys.prefix), home
assert (home / "py.typed").is_file()
try:
    cleave.Cleave("http://127.0.0.1:1", cache_dir="cache")
except cleave.CleaveError as error:
    print(error)
    assert "server unreachable" in str(error)
else:
    raise AssertionError("nobody listens there")
