"""The engine behind HTTP, by Starlette. One run at a time; a run ends when whoever asked for it has gone."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import platform
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from napari_mrseg.errors import Cancelled, MrsegError
from napari_mrseg.inference.cache import encode_prediction
from napari_mrseg.inference.engine import Engine
from napari_mrseg.remote import wire
from napari_mrseg.study import Image, Study
from napari_mrseg.tasks import key

log = logging.getLogger("mrseg.serve")
BEAT = 0.1  # seconds between two signs of life, at which a client looks whether it still wants the answer
LEFT = "left"  # in the log: the client went before it had its answer
_KEYS = {"images", "combinations", "focus", "preview"}


class Scans:
    """Images by digest, within ``budget`` bytes; the ones not used for longest leave first."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._held: OrderedDict[str, Image] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, digest: str, image: Image) -> None:
        with self._lock:
            self._held[digest] = image
            while len(self._held) > 1 and sum(i.data.nbytes for i in self._held.values()) > self.budget:
                self._held.popitem(last=False)

    def get(self, digest: str) -> Image | None:
        with self._lock:
            found = self._held.get(digest)
            if found is not None:
                self._held.move_to_end(digest)
            return found


class Guard:
    """Asks for the token, and says in the log what was asked and how it ended: no name, no content."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, ended = time.monotonic(), "0", False

        async def noting(message: Any) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = str(message["status"])
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        async def hearing() -> Any:
            nonlocal status
            message = await receive()
            if message["type"] == "http.disconnect" and not ended:
                status = LEFT
            return message

        given = dict(scope["headers"]).get(b"authorization", b"")
        try:
            if hmac.compare_digest(given, self.token):
                await self.app(scope, hearing, noting)
            else:
                await _refusal(401, "the token is wrong; give the one that mrseg serve showed")(
                    scope, hearing, noting
                )
        except ClientDisconnect:
            status = LEFT  # in the middle of an upload: nobody is there to be answered
        finally:
            where = scope["path"].split("/")[1] if scope["path"].isascii() else ""
            known = where if where in ("about", "scans", "runs") else "other"
            log.info(
                "%s %s %s %.0f ms", scope["method"][:8], known, status, 1000 * (time.monotonic() - began)
            )


def make_app(engine: Engine, token: str, *, memory: int = 8 * 2**30, name: str | None = None) -> Starlette:
    """The application. ``memory``: bytes of scans that are kept; ``name``: what the machine is called on screen."""
    scans, busy = Scans(memory), threading.Lock()
    most = min(4 * wire.MOST_VOXELS, memory)

    async def about(request: Request) -> Response:
        return JSONResponse(
            {
                "protocol": wire.PROTOCOL,
                "name": name or platform.node() or "the server",
                "card": engine.model.card.model_dump(mode="json"),
                "sha256": engine.model.sha256,
                "device": engine.device_name,
                "precision": engine.precision,
            }
        )

    async def put_scan(request: Request) -> Response:
        digest = request.path_params["digest"]
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            return _refusal(400, "a scan is named by its SHA-256")
        content = await _body(request, most)
        if content is None:
            return _refusal(413, f"the scan is larger than {most // 2**20} MiB")
        try:
            name_of_scan, image = await asyncio.to_thread(wire.decode_image, content)
        except wire.WireError as error:
            return _refusal(400, str(error))
        if name_of_scan != digest:
            return _refusal(400, "the scan is not the one that its name says")
        scans.put(digest, image)
        return Response(status_code=204)

    async def run(request: Request) -> Response:
        content = await _body(request, wire.MOST_JSON)
        if content is None:
            return _refusal(413, "the request is too large")
        try:
            images, combinations, focus, preview = _asked(content, engine)
        except ValueError as error:
            return _refusal(400, str(error))
        held = {modality: scans.get(digest) for modality, digest in images.items()}
        missing = [images[modality] for modality, image in held.items() if image is None]
        if missing:
            return JSONResponse({"missing": missing}, status_code=409)
        try:
            task = engine.model.task
            known = {m: wire.named(image, m, task) for m, image in held.items() if image is not None}
            study = Study(task, "the study", known)
        except (MrsegError, ValueError) as error:
            return _refusal(400, str(error))
        return StreamingResponse(
            _answer(engine, busy, Asked(study, combinations, focus, preview)),
            media_type="application/octet-stream",
        )

    routes = [
        Route("/about", about),
        Route("/scans/{digest}", put_scan, methods=["PUT"]),
        Route("/runs", run, methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, token=token)])


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"problem": sentence}, status_code=status)


async def _body(request: Request, most: int) -> bytes | None:
    """All that was sent, or None if it is more than ``most`` bytes; no more than that is ever held."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most:
        return None
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > most:
            return None
    return bytes(found)


def _asked(
    content: bytes, engine: Engine
) -> tuple[dict[str, str], list[tuple[str, ...]], tuple[int, ...] | None, bool]:
    """What a run is to compute. Raises ValueError that says what is wrong with the request."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("the request is not JSON") from None
    if not isinstance(told, dict) or not set(told) <= _KEYS:
        raise ValueError(f"the request must have {', '.join(sorted(_KEYS))}")
    task, card = engine.model.task, engine.model.card
    images, wanted, focus = told.get("images"), told.get("combinations"), told.get("focus")
    if not isinstance(images, dict) or not images or not all(isinstance(v, str) for v in images.values()):
        raise ValueError("images must give a digest for each modality")
    if not set(images) <= set(task.names):
        raise ValueError(f"images must be of {', '.join(task.names)}")
    if not isinstance(wanted, list) or not 0 < len(wanted) <= 2 ** len(task.names):
        raise ValueError("combinations must list some")
    combinations = []
    for one in wanted:
        if not isinstance(one, list) or not all(isinstance(name, str) for name in one):
            raise ValueError("a combination is a list of modalities")
        if not one or not set(one) <= set(images):
            raise ValueError("a combination must be of modalities that are there")
        combination = task.combination(one)
        if not card.can_do(combination):
            raise ValueError(card.refusal(combination))
        combinations.append(combination)
    if focus is not None and (
        not isinstance(focus, list)
        or len(focus) != 3
        or not all(isinstance(n, int) and abs(n) < 2**20 for n in focus)
    ):
        raise ValueError("focus must be three numbers")
    return images, combinations, None if focus is None else tuple(focus), bool(told.get("preview", False))


@dataclass(frozen=True)
class Asked:
    """A run that somebody waits for: previews and final of the first combination, or finals of all."""

    study: Study
    combinations: list[tuple[str, ...]]
    focus: tuple[int, ...] | None
    preview: bool


async def _answer(engine: Engine, busy: threading.Lock, asked: Asked) -> AsyncIterator[bytes]:
    """Previews and finals as they come, progress and signs of life between them; ends the run if nobody listens."""
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[bytes] = asyncio.Queue()
    stopped = threading.Event()

    def send(message: bytes) -> None:
        loop.call_soon_threadsafe(messages.put_nowait, message)

    def check() -> None:
        if stopped.is_set():
            raise Cancelled("nobody waits for it any more")

    worker = asyncio.create_task(asyncio.to_thread(_compute, engine, busy, asked, send, check))
    try:
        while True:
            try:
                message = await asyncio.wait_for(messages.get(), BEAT)
            except TimeoutError:
                message = wire.frame(wire.ALIVE)
            yield message
            if message[:1] in (wire.END, wire.PROBLEM):
                return
    finally:
        stopped.set()
        if not worker.done():
            await asyncio.shield(asyncio.wait([worker], timeout=30))


def _compute(
    engine: Engine,
    busy: threading.Lock,
    asked: Asked,
    send: Callable[[bytes], None],
    check: Callable[[], None],
) -> None:
    """On a thread: wait for the engine, run, and send what it finds."""
    told = [0.0]

    def progress(combination: tuple[str, ...], fraction: float) -> None:
        if time.monotonic() - told[0] > BEAT:
            told[0] = time.monotonic()
            send(wire.frame(wire.PROGRESS, json.dumps([key(combination), round(fraction, 3)]).encode()))

    try:
        while not busy.acquire(timeout=BEAT):
            check()
        try:
            if asked.preview:
                first = asked.combinations[0]
                found = engine.run(
                    asked.study,
                    first,
                    focus=asked.focus,
                    check=check,
                    progress=lambda fraction: progress(first, fraction),
                )
            else:
                found = engine.run_all(asked.study, asked.combinations, check=check, progress=progress)
            for prediction in found:
                send(wire.frame(wire.PREDICTION, wire.packed(encode_prediction(prediction))))
        finally:
            busy.release()
        send(wire.frame(wire.END))
    except Cancelled:
        send(wire.frame(wire.END))
    except MrsegError as error:
        send(wire.frame(wire.PROBLEM, json.dumps([type(error).__name__, str(error)]).encode()))
    except Exception as error:
        log.exception("a run failed")
        send(
            wire.frame(
                wire.PROBLEM,
                json.dumps(["DeviceError", f"The engine failed ({type(error).__name__})."]).encode(),
            )
        )
