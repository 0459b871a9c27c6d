"""FastAPI and uvicorn before ONNX Runtime. python peer_fastapi.py FOLDER PORT CORES

Bodies are raw, which is cheaper than multipart. Inference runs in Starlette's thread pool, as it
comes, so that the event loop stays free; fewer threads are slower, and so is one process on two
cores.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from network import Network

FOLDER = "CLEAVE_BENCH_NETWORKS"  # in the environment of uvicorn's processes


def make_app() -> FastAPI:
    """Both routes; called in each process."""
    folder = Path(os.environ[FOLDER])
    full, tail = Network(folder / "full.onnx"), Network(folder / "tail.onnx")

    app = FastAPI()

    @app.get("/health")
    async def health() -> dict:
        return {}

    @app.post("/classify")
    async def classify(request: Request) -> dict:
        return await run_in_threadpool(full.classify, await request.body())

    @app.post("/tail")
    async def finish(request: Request) -> dict:
        return await run_in_threadpool(tail.finish, await request.body())

    return app


if __name__ == "__main__":
    os.environ[FOLDER] = sys.argv[1]
    uvicorn.run("peer_fastapi:make_app", factory=True, app_dir=str(Path(__file__).parent),
                host="127.0.0.1", port=int(sys.argv[2]), workers=int(sys.argv[3]),
                log_level="warning", access_log=False)
