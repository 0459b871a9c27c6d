"""Runs every command that the documents show, against a server that listens at a URL.

usage: run_commands.py BIN URL

Every fenced block names its language. One marked `sh` holds commands: all are run, in a scratch
folder that looks like the root of the project, but those that not_run.toml lists with a reason;
those must at least name options that exist. One marked `python` is run where its imports are
installed. A block of `json` or `text` right behind them shows what they print; it is compared
loosely, since times and paths differ from machine to machine.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "*/README.md", "client/*/README.md")
LONGEST_S = 300
TOLERANCE = 1e-3  # kernels differ in the last bits of a probability
# What writes a file or a variable, or stops something, has nothing to say.
SILENT = re.compile(r"^(cp|kill|export|\w+=)|&$| -o | > |--output ")

STOP_JOBS = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"


@dataclasses.dataclass
class Block:
    """A fenced block, and the one right behind it if that shows what this one prints."""

    document: str
    line: int
    language: str
    text: str
    shown: Block | None = None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def read_blocks(document: str) -> list[Block]:
    """All fenced blocks of a document, in their order."""
    blocks: list[Block] = []
    inside, between = None, ""
    for number, line in enumerate((ROOT / document).read_text().splitlines(), 1):
        if not line.startswith("```"):
            if inside:
                inside.text += line + "\n"
            else:
                between += line
        elif inside:
            if blocks and not between and inside.language in ("json", "text"):
                blocks[-1].shown = inside
            blocks.append(inside)
            inside, between = None, ""
        else:
            inside = Block(document, number, line.removeprefix("```").strip(), "")
    return blocks


def split_commands(text: str) -> list[str]:
    """Lines, continued ones joined, without comments."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def alike(want: object, got: object) -> bool:
    """The same JSON, but for measured numbers."""
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(
            alike(want[key], got[key])
            if not isinstance(want[key], float)
            else isinstance(got[key], int | float)
            and (key != "probability" or abs(want[key] - got[key]) < TOLERANCE)
            for key in want
        )
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(alike, want, got))
    return want == got


def first_words(text: str) -> set[str]:
    """What the lines begin with, digits aside."""
    return {re.sub(r"\d+", "#", line.split()[0]) for line in text.splitlines() if line.split()}


def compare(shown: Block, output: str) -> str:
    """What was not printed as shown, or ""."""
    if shown.language == "json":
        try:
            printed = json.loads(output.strip().splitlines()[-1])
        except (ValueError, IndexError):
            return f"{shown}: no JSON was printed"
        return "" if alike(json.loads(shown.text), printed) else f"{shown}: not as shown"
    missing = first_words(shown.text) - first_words(output) - {"…"}
    return f"{shown}: no line begins with {', '.join(sorted(missing))}" if missing else ""


class Runner:
    """Where commands run, and what is found wrong."""

    def __init__(self, programs: Path, url: str, scratch: Path) -> None:
        self.programs = programs
        self.not_run = tomllib.loads((Path(__file__).parent / "not_run.toml").read_text())
        self.unused = {(document, start) for document, entries in self.not_run.items()
                       for start in entries}
        self.place = scratch / "cleave"
        self.place.mkdir()
        for entry in ROOT.iterdir():
            if entry.name != "build" and not entry.name.startswith("."):
                (self.place / entry.name).symlink_to(entry)
        # The reader's own.
        (self.place / "cat.jpg").symlink_to(ROOT / "models" / "samples" / "cat.jpg")
        (self.place / "photos").symlink_to(ROOT / "models" / "samples")
        # A failed request is a failed command.
        (scratch / ".curlrc").write_text("fail\nsilent\nshow-error\n")
        self.environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}",
                            "HOME": str(scratch), "CURL_HOME": str(scratch),
                            "XDG_CACHE_HOME": str(scratch / "cache")}
        with socket.create_server(("localhost", 0)) as free:
            free_port = free.getsockname()[1]
        address = url.removeprefix("http://")
        self.rewritten = {"http://gateway:8080": url, "http://spare:8080": url,
                          "localhost:8080": address, "8081": str(free_port)}
        self.run_count = 0
        self.wrong: list[str] = []

    def rewrite(self, text: str) -> str:
        """With the addresses of this run."""
        for old, new in self.rewritten.items():
            text = text.replace(old, new)
        return text

    def listed(self, block: Block, command: str) -> bool:
        """Is it one that is not run?"""
        for start in self.not_run.get(block.document, {}):
            if command.startswith(start):
                self.unused.discard((block.document, start))
                return True
        return False

    def check_options(self, block: Block, command: str) -> None:
        """The options of our own programs must exist even where the command is not run."""
        words = shlex.split(command, comments=True)
        if words[0] in ("cleave", "cleaved"):
            asked = [self.programs / words[0], *(words[1:2] if words[0] == "cleave" else []),
                     "--help"]
            known = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        elif "cleave_train" in words:
            known = (ROOT / "train" / "cleave_train" / "__main__.py").read_text()
            words = words[words.index("cleave_train"):]
        else:
            return
        for word in words:
            option = word.partition("=")[0]
            if option.startswith("--") and not re.search(rf"{option}\b(?!-)", known):
                self.wrong.append(f"{block}: there is no option {option}: {command}")

    def run(self, block: Block, arguments: list[str], text: str) -> str | None:
        """What it printed; None if it failed, which is then said."""
        self.run_count += 1
        try:
            done = subprocess.run([*arguments, self.rewrite(text)], cwd=self.place,
                                  env=self.environment, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=LONGEST_S)
        except subprocess.TimeoutExpired as stuck:
            self.wrong.append(f"{block}: not done after {LONGEST_S} s:\n{stuck.stdout}")
            return None
        print(done.stdout, flush=True)
        if done.returncode:
            self.wrong.append(f"{block}: exit status {done.returncode}:\n{done.stdout}")
            return None
        return done.stdout

    def run_shell(self, block: Block) -> None:
        """Each command that is not listed, all of a block in one shell."""
        commands, listed = [], []
        for command in split_commands(block.text):
            (listed if self.listed(block, command) else commands).append(command)
        for command in listed:
            self.check_options(block, command)
        if not commands:
            return
        script = STOP_JOBS + "".join(f"printf '\\n%s\\n' {shlex.quote('$ ' + command)}\n{command}\n"
                         for command in commands)
        output = self.run(block, ["bash", "-euo", "pipefail", "-c"], script)
        if output is None:
            return
        parts = re.split(r"^\$ .*$", output, flags=re.MULTILINE)[1:]
        for command, part in zip(commands, parts, strict=True):
            if not part.strip() and not SILENT.search(command):
                self.wrong.append(f"{block}: printed nothing: {command}")
        if block.shown and not listed and (wrong := compare(block.shown, "\n".join(parts))):
            self.wrong.append(f"{wrong}:\n{output}")

    def run_python(self, block: Block) -> None:
        """If what it imports is there."""
        if self.listed(block, block.text):
            return
        nodes = list(ast.walk(ast.parse(block.text)))
        imported = {name.name for node in nodes if isinstance(node, ast.Import)
                    for name in node.names}
        imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        missing = [name for name in sorted(imported)
                   if not importlib.util.find_spec(name.split(".")[0])]
        if missing:
            print(f"{block}: not run here: no {', '.join(missing)}")
            return
        output = self.run(block, [sys.executable, "-c"], block.text)
        if output is not None and block.shown and (wrong := compare(block.shown, output)):
            self.wrong.append(f"{wrong}:\n{output}")


def main() -> int:
    """Run all; say what is wrong."""
    documents = [str(path.relative_to(ROOT)) for pattern in DOCUMENTS
                 for path in sorted(ROOT.glob(pattern))]
    with tempfile.TemporaryDirectory() as scratch:
        runner = Runner(Path(sys.argv[1]), sys.argv[2], Path(scratch))
        for block in (block for document in documents for block in read_blocks(document)):
            if block.language == "sh":
                runner.run_shell(block)
            elif block.language == "python":
                runner.run_python(block)
            elif not block.language:
                runner.wrong.append(f"{block}: the block says no language; sh if it is commands")
        runner.wrong += [f"not_run.toml: {document} shows no command that begins with {start!r}"
                         for document, start in sorted(runner.unused)]
        print("\n".join(runner.wrong))
        print(f"{runner.run_count} blocks run, {len(runner.wrong)} wrong")
        return 1 if runner.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
