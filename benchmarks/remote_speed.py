"""What a toggle costs when the engine is elsewhere: beside local, over the loopback, with added delay and 100 Mbit/s.

    python benchmarks/remote_speed.py ../shared/data/BraTS2021_01476

``mrseg serve`` runs as a process of its own on this machine; between it and the session lies a proxy that holds every
piece back by the delay, in both directions, and lets 12.5 MB a second through. (Where the kernel has netem, the same by
``tc qdisc add dev lo root netem delay 50ms rate 100mbit`` in a network namespace.) For each link: the time from opening
to the first result, in which the scans are sent; from a toggle to its result, median over combinations that nobody has
computed before; and the same while another run is under way, which a newer wish ends.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

from napari_mrseg.errors import DeviceError, InputError
from napari_mrseg.inference.engine import Engine
from napari_mrseg.inference.predictor import Predictor
from napari_mrseg.io import open_study
from napari_mrseg.models.store import load_model
from napari_mrseg.remote.client import RemoteEngine
from napari_mrseg.remote.token import given_token
from napari_mrseg.session.state import Session
from napari_mrseg.study import Study

RATE = 12.5e6  # bytes a second: 100 Mbit/s
LINKS: tuple[tuple[str, float, float | None], ...] = (
    ("loopback", 0.0, None),
    ("5 ms, 100 Mbit/s", 0.005, RATE),
    ("50 ms, 100 Mbit/s", 0.05, RATE),
    ("200 ms, 100 Mbit/s", 0.2, RATE),
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Proxy:
    """A link to ``port`` with a delay in each direction and a rate, on a thread."""

    def __init__(self, port: int, delay: float, rate: float | None) -> None:
        self.port, self.delay, self.rate, self.own = port, delay, rate, free_port()
        self.sent = 0
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, daemon=True).start()
        time.sleep(0.2)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", self.own))
        self.loop.run_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)

        async def take() -> None:
            free = time.monotonic()
            while part := await reader.read(65536):
                self.sent += len(part)
                if self.rate is not None:
                    free = max(free, time.monotonic()) + len(part) / self.rate
                await waiting.put((max(free, time.monotonic()) + self.delay, part))
            await waiting.put((0.0, b""))

        async def give() -> None:
            while True:
                when, part = await waiting.get()
                if not part:
                    break
                if (left := when - time.monotonic()) > 0:
                    await asyncio.sleep(left)
                writer.write(part)
                await writer.drain()
            writer.close()

        with suppress(OSError):
            await asyncio.gather(take(), give())


def toggles(predictor: Predictor, study: Study) -> dict[str, float]:
    """Seconds, medians over the combinations; each once, nothing swept."""
    session = Session(sweep=False)
    session.set_predictor(predictor)
    began = time.monotonic()
    session.set_study(study)
    session.wait(300)
    first = time.monotonic() - began
    order = [c for c in study.task.combinations(study.present) if c != study.present]
    finals = []
    for combination in order:
        began = time.monotonic()
        session.use(combination)
        session.wait(300)
        finals.append(time.monotonic() - began)
    session.cache.clear()
    waits = []
    for combination in order[:6]:
        session.use(study.present)
        time.sleep(0.15)
        began = time.monotonic()
        session.use(combination)
        session.wait(300)
        waits.append(time.monotonic() - began)
        session.cache.clear()
    session.close()
    return {
        "opening": first,
        "toggle": median(finals),
        "newer": median(waits),
    }


@contextmanager
def served(token: Path) -> Iterator[int]:
    """A server that has seen no scan yet, on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "napari_mrseg.cli", "serve", "--device", "cpu", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--token-file", str(token)], stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    try:
        yield port
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+")
    args = parser.parse_args()
    study = open_study(args.paths)
    loaded = load_model(task=study.task)
    rows: dict[str, dict[str, float]] = {"local": toggles(Engine(loaded, device="cpu"), study)}
    for name, delay, rate in LINKS:
        with tempfile.TemporaryDirectory() as folder, served(Path(folder) / "token") as port:
            proxy = Proxy(port, delay, rate)
            remote = None
            while remote is None:
                with suppress(DeviceError, InputError):
                    remote = RemoteEngine(
                        f"http://127.0.0.1:{proxy.own}", given_token(Path(folder) / "token")
                    )
                time.sleep(0.2)
            before = proxy.sent
            rows[name] = toggles(remote, study) | {"megabytes": (proxy.sent - before) / 1e6}
            print(name, rows[name], flush=True)
    print("\n| link | opening, s | a toggle, s | a toggle while another run is under way, s |")
    print("| --- | --: | --: | --: |")
    for name, row in rows.items():
        cells = (row[k] for k in ("opening", "toggle", "newer"))
        print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
