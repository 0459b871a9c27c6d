"""LitServe before ONNX Runtime. python peer_litserve.py FOLDER PORT CORES

Photos come as form files, which is how LitServe takes bytes. A worker for each core, no batching.
(No annotations from __future__: LitServe reads those of decode_request.)
"""

import sys
from pathlib import Path

import litserve
from fastapi import UploadFile
from network import Network


class Classifier(litserve.LitAPI):
    """The whole network; LitServe runs it in processes of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "full.onnx"

    def setup(self, device: str) -> None:
        """In the worker."""
        self.network = Network(self.path)

    def decode_request(self, request: UploadFile) -> bytes:
        """The form's file."""
        return request.file.read()

    def predict(self, jpeg: bytes) -> dict:
        """The best classes."""
        return self.network.classify(jpeg)

    def encode_response(self, answer: dict) -> dict:
        """As JSON."""
        return answer


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(Path(sys.argv[1])), accelerator="cpu",
                                workers_per_device=int(sys.argv[3]))
    server.run(host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False,
               generate_client_file=False)
