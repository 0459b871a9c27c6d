"""Replays every example of openapi.yaml against the server at a URL.

usage: replay_examples.py URL

Examples of one name belong together: parameters and body make the request, the
response's example of that name is what must come. Where there is none, any
documented success will do. Frames come from the example of `encode`.
"""

import json
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urljoin
from urllib.request import Request, urlopen

import yaml

DOCUMENT = yaml.safe_load((Path(__file__).parents[2] / "openapi.yaml").read_text())
FRAME = "application/vnd.cleave.frame"
VARYING = {"request_id"}  # differs in every answer
TOLERANCE = 1e-3  # kernels differ in the last bits of a probability


def resolve(node: dict) -> dict:
    """Follows a reference into the document."""
    while "$ref" in node:
        reference, node = node["$ref"], DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    return node


def alike(want: object, got: object) -> bool:
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(
            key in VARYING or alike(want[key], got[key]) for key in want
        )
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(alike, want, got))
    if isinstance(want, float):
        return isinstance(got, int | float) and abs(want - got) < TOLERANCE
    return want == got


class Replay:
    """All operations of one server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.unused = {
            id(example)
            for item in DOCUMENT["paths"].values()
            for operation in item.values()
            if isinstance(operation, dict)
            for _, _, example in self.promises(operation)
        }
        self.operations = {
            operation["operationId"]: (path, method, item.get("parameters", []), operation)
            for path, item in DOCUMENT["paths"].items()
            for method, operation in item.items()
            if method in ("get", "post")
        }

    @staticmethod
    def promises(operation: dict) -> list[tuple[str, str, dict]]:
        """(status, name, example) of an operation's responses."""
        return [
            (status, name, example)
            for status, response in operation["responses"].items()
            for media in resolve(response).get("content", {}).values()
            for name, example in media.get("examples", {}).items()
        ]

    def fetch(self, path: str, body: bytes | None = None, media_type: str = "") -> tuple:
        """(status, media type, body) of a request."""
        headers = {"Content-Type": media_type} if media_type else {}
        request = Request(urljoin(self.url, path), body, headers)
        try:
            with urlopen(request, timeout=60) as reply:
                return reply.status, reply.headers.get_content_type(), reply.read()
        except HTTPError as reply:
            return reply.code, reply.headers.get_content_type(), reply.read()

    def parameters(self, operation_id: str) -> list[dict]:
        _, _, shared, operation = self.operations[operation_id]
        return [resolve(one) for one in shared + operation.get("parameters", [])]

    def bodies(self, operation_id: str) -> dict[str, tuple[str, dict]]:
        """{name: (media type, example)} of an operation's request bodies."""
        body = resolve(self.operations[operation_id][3].get("requestBody", {}))
        return {
            name: (media_type, example)
            for media_type, media in body.get("content", {}).items()
            for name, example in media.get("examples", {}).items()
        }

    def names(self, operation_id: str) -> list[str]:
        """Names of an operation's examples: its bodies', else all others'."""
        if "requestBody" in self.operations[operation_id][3]:
            return list(self.bodies(operation_id))
        names = {name for one in self.parameters(operation_id) for name in one.get("examples", {})}
        return sorted(names) or ["cat"]

    def send(self, operation_id: str, name: str) -> tuple:
        path, _, _, _ = self.operations[operation_id]
        query = {}
        for one in self.parameters(operation_id):
            if name not in one.get("examples", {}):
                continue
            value = one["examples"][name]["value"]
            if one["in"] == "path":
                path = path.replace(f"{{{one['name']}}}", quote(value))
            elif one["in"] == "query":
                query[one["name"]] = value
        media_type, body = "", None
        if name in self.bodies(operation_id):
            media_type, example = self.bodies(operation_id)[name]
            if media_type == FRAME:
                status, _, body = self.send("encode", "cat")
                assert status == 200, f"encode answered {status}"
            else:
                body = self.fetch(example["externalValue"])[2]
        return self.fetch(path + ("?" + urlencode(query) if query else ""), body, media_type)

    def check(self, operation_id: str, name: str) -> str:
        """What is wrong with the answer to an example, or ""; nobody here has a token."""
        operation = self.operations[operation_id][3]
        responses = operation["responses"]
        status, media_type, body = self.send(operation_id, name)
        if str(status) not in responses:
            return f"answered {status}, which is not documented"
        content = resolve(responses[str(status)]).get("content", {})
        if media_type not in content:
            return f"answered {media_type}, which is not documented"
        promised = [
            (code, example)
            for code, label, example in self.promises(operation)
            if label == name
        ]
        if not promised:
            wants_token = operation.get("security") and {} not in operation["security"]
            return "" if status == (403 if wants_token else 200) else f"answered {status}"
        code, example = promised[0]
        self.unused.discard(id(example))
        if str(status) != code or not alike(example["value"], json.loads(body)):
            return f"answered {status} {body[:300]!r}"
        return ""


def main() -> int:
    replay = Replay(sys.argv[1])
    count = failed = 0
    for operation_id in replay.operations:
        for name in replay.names(operation_id):
            wrong = replay.check(operation_id, name)
            print(f"{operation_id}, {name}: {wrong or 'as documented'}")
            count += 1
            failed += wrong != ""
    print(f"{count} requests, {failed} failed, {len(replay.unused)} examples not reached")
    return 1 if failed or replay.unused else 0


if __name__ == "__main__":
    sys.exit(main())
