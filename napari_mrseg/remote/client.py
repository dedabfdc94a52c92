"""A predictor whose engine is on another computer."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from napari_mrseg import errors
from napari_mrseg.errors import DeviceError, InputError, MrsegError
from napari_mrseg.inference.cache import decode_prediction
from napari_mrseg.inference.prediction import Prediction
from napari_mrseg.models.card import ModelCard
from napari_mrseg.models.store import About
from napari_mrseg.remote import wire
from napari_mrseg.study import Note, Study
from napari_mrseg.tasks import Combination

CONNECT, SILENCE = 5.0, 10.0  # seconds; the server says something ten times a second while it computes
MOST_RESULT = 2**31


def _nothing(*_: Any) -> None:
    return None


class RemoteEngine:
    """Asks the engine that ``mrseg serve`` runs at ``address``, such as ``http://localhost:8765``.

    A :class:`~napari_mrseg.inference.predictor.Predictor`. Scans are sent once and known by a hash; what is sent has no
    name of a file or a patient. ``token``: what the server showed; ``certificate``: a file with the server's
    certificate, where no authority has signed it. Raises InputError for an address or a token that cannot be used,
    DeviceError if no engine answers.
    """

    def __init__(self, address: str, token: str, *, certificate: str | Path | None = None) -> None:
        try:
            import httpx
        except ModuleNotFoundError:
            raise InputError(
                'A remote engine needs httpx, which is not installed; pip install "napari-mrseg[remote]".'
            ) from None
        self.address = _address(address)
        verify: ssl.SSLContext | bool = True
        if certificate is not None:
            try:
                verify = ssl.create_default_context(cafile=str(Path(certificate).expanduser()))
            except (OSError, ssl.SSLError):
                raise InputError(
                    f"{Path(certificate).name} is no certificate that can be read; give the server's .pem file."
                ) from None
        self._errors = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
        self._client = httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(SILENCE, connect=CONNECT, write=None),
            verify=verify,
            trust_env=False,
        )
        reply = self._about()
        try:
            self.model = About(ModelCard.model_validate(reply["card"]), str(reply["sha256"]))
            self.host = str(reply["name"])
            self.device_name = f"{reply['device']} on {self.host}"
            self.precision = str(reply["precision"])
        except (KeyError, ValueError):  # pydantic's error is one
            raise self._other_version() from None

    def close(self) -> None:
        self._client.close()

    def forget(self) -> None:
        """Nothing is kept here; the server lets scans go by itself."""

    def run(
        self,
        study: Study,
        combination: Iterable[str],
        *,
        focus: tuple[int, ...] | None = None,
        check: Callable[[], None] = _nothing,
        progress: Callable[[float], None] = _nothing,
    ) -> Iterator[Prediction]:
        only = study.only(combination)
        yield from self._ask(
            study, [only.present], focus, True, check, lambda _, fraction: progress(fraction)
        )

    def run_all(
        self,
        study: Study,
        combinations: Iterable[Iterable[str]],
        *,
        check: Callable[[], None] = _nothing,
        progress: Callable[[Combination, float], None] = _nothing,
    ) -> Iterator[Prediction]:
        wanted = [study.only(c).present for c in combinations]
        if wanted:
            yield from self._ask(study, wanted, None, False, check, progress)

    def _ask(
        self,
        study: Study,
        combinations: list[Combination],
        focus: tuple[int, ...] | None,
        preview: bool,
        check: Callable[[], None],
        progress: Callable[[Combination, float], None],
    ) -> Iterator[Prediction]:
        used = {name for combination in combinations for name in combination}
        digests = {n: wire.digest_of(image) for n, image in study.images.items() if n in used}
        asked = {
            "images": digests,
            "combinations": [list(c) for c in combinations],
            "focus": None if focus is None else [int(n) for n in focus],
            "preview": preview,
        }
        for attempt in range(2):
            check()
            with self._lost():
                request = self._client.build_request("POST", "/runs", json=asked)
                response = self._client.send(request, stream=True)
                try:
                    if response.status_code == 200:
                        yield from self._heard(response, study, check, progress)
                        return
                    reply = _reply_fields(response.read())
                    if response.status_code != 409 or attempt:
                        self._same_model(str(self._about().get("sha256", "")))
                        raise self._refused(response.status_code, reply)
                    missing = set(reply.get("missing", ()))
                finally:
                    response.close()  # also ends the run there, if nobody wants it any more
            self._send(study, {n: d for n, d in digests.items() if d in missing}, check)

    def _heard(
        self,
        response: Any,
        study: Study,
        check: Callable[[], None],
        progress: Callable[[Combination, float], None],
    ) -> Iterator[Prediction]:
        """Predictions as they come in, to the end of the answer: who goes before it counts there as one who left."""
        whole = False
        for kind, content in wire.frames(response.iter_raw(), MOST_RESULT):
            check()
            if kind == wire.PROGRESS:
                name, fraction = wire.two(content)
                progress(tuple(str(name).split("+")), float(fraction))
            elif kind == wire.PREDICTION:
                try:
                    found = decode_prediction(wire.unpacked(content, MOST_RESULT))
                except ValueError as error:
                    raise wire.WireError(str(error)) from None
                yield self._placed(found, study)
            elif kind == wire.PROBLEM:
                name, sentence = wire.two(content)
                raise _error(str(name), f"{self.host}: {sentence}")
            elif kind == wire.END:
                whole = True
        if not whole:
            raise wire.WireError("the answer breaks off")

    def _send(self, study: Study, missing: dict[str, str], check: Callable[[], None]) -> None:
        """Upload scans that the server has not, in pieces, so that a newer wish need not wait for the end."""

        def parts(content: bytes) -> Iterator[bytes]:
            for first in range(0, len(content), 2**18):
                check()
                yield content[first : first + 2**18]

        for name, digest in missing.items():
            content = wire.encode_image(study.images[name])
            with self._lost():
                response = self._client.put(
                    f"/scans/{digest}",
                    content=parts(content),
                    headers={"Content-Length": str(len(content)), "Content-Type": "application/octet-stream"},
                )
                if response.status_code != 204:
                    raise self._refused(response.status_code, _reply_fields(response.content))

    def _placed(self, found: Prediction, study: Study) -> Prediction:
        """The prediction as if it had been made here: the study's name and grid, its notes, and who computed it."""
        self._same_model(str(found.model.get("sha256", "")))
        only = study.only(found.combination)
        if found.labels.shape != only.grid.shape or found.task.name != study.task.name:
            raise wire.WireError("the answer is of another study")
        device = f"{found.device} on {self.host}"
        self.device_name, self.precision = device, found.precision
        titles = {only.task.modality(n).title: image.source.path.name for n, image in only.images.items()}
        notes = tuple(_called(note, titles) for note in found.notes)
        return replace(
            found,
            task=study.task,
            case=study.case,
            grid=only.grid,
            digest=only.digest,
            device=device,
            notes=(*only.notes, *notes),
        )

    def _about(self) -> dict[str, Any]:
        with self._lost():
            response = self._client.get("/about")
            reply = _reply_fields(response.content)
            if response.status_code != 200:
                raise self._refused(response.status_code, reply)
            if reply.get("protocol") != wire.PROTOCOL:
                raise self._other_version()
            return reply

    def _same_model(self, sha256: str) -> None:
        """Raise InputError if the engine runs another model than the one it had when it was asked first."""
        if sha256 == self.model.sha256:
            return
        card = self.model.card
        raise InputError(
            f"The engine at {self.address} now runs another model than {card.name} {card.version}, which this study "
            "was opened with, and its result is not shown; enter its address again to go on with the new one."
        )

    def _other_version(self) -> DeviceError:
        return DeviceError(
            f"The engine at {self.address} speaks another version; install the same napari-mrseg on both."
        )

    def _refused(self, status: int, reply: dict[str, Any]) -> MrsegError:
        if status == 401:
            return InputError(
                f"The engine at {self.address} does not take this token; give the one it showed."
            )
        if status == 413:
            return InputError(
                f"The scan is too large for the engine at {self.address}; {reply.get('problem', '')}."
            )
        return DeviceError(f"The engine at {self.address} refused ({reply.get('problem') or status}).")

    @contextmanager
    def _lost(self) -> Iterator[None]:
        """Within it, a connection that fails and an answer that is none become one sentence."""
        try:
            yield
        except (*self._errors, OSError, wire.WireError) as error:
            raise DeviceError(
                f"The engine at {self.address} does not answer ({_why(error)}); start it again there, or choose "
                "a device of this computer to go on here."
            ) from None


def _why(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if text and len(text) < 120 else type(error).__name__


def _address(address: str) -> str:
    given = address.strip() if "://" in address else f"http://{address.strip()}"
    parts = urlsplit(given)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"“{address}” is no address of an engine; write it as http://localhost:{wire.PORT}.")
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise InputError(
            f"{given} is not encrypted; use https:// with a certificate, or an SSH tunnel (docs/remote.md)."
        )
    try:
        port = parts.port or (443 if parts.scheme == "https" else wire.PORT)
    except ValueError:
        raise InputError(
            f"“{address}” has no port that can be used; write it as http://localhost:{wire.PORT}."
        ) from None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def _reply_fields(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _error(name: str, sentence: str) -> MrsegError:
    kind = getattr(errors, name, DeviceError)
    return (
        kind(sentence) if isinstance(kind, type) and issubclass(kind, MrsegError) else DeviceError(sentence)
    )


def _called(note: Note, titles: dict[str, str]) -> Note:
    """A sentence about a scan names its file here, which the server does not know."""
    own = titles.get(note.file)
    if own is None or not note.message.startswith(note.file):
        return note
    return replace(note, file=own, message=own + note.message.removeprefix(note.file))
