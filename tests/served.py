"""An engine behind HTTP within the tests' own process."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn

from napari_mrseg.inference.engine import Engine
from napari_mrseg.remote.server import make_app

TOKEN = "a-token-of-the-tests-alone"


class Served:
    """A server of this process on a free port, which can be stopped and started again at the same one."""

    def __init__(self, engine: Engine, **options: object) -> None:
        self.app = make_app(engine, TOKEN, name="gpubox", **options)  # type: ignore[arg-type]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        config = uvicorn.Config(
            self.app, host="127.0.0.1", port=self.port, log_config=None, timeout_graceful_shutdown=1
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(10)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"
