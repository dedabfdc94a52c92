"""The engine on another computer: the same answers, cancelled as quickly, nothing private sent, nothing odd let in."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import TOKEN, Served
from starlette.requests import Request
from starlette.testclient import TestClient
from tiny import model, source, study, volume

from napari_mrseg import cli
from napari_mrseg.errors import Cancelled, DeviceError, InputError
from napari_mrseg.inference.cache import decode_prediction, encode_prediction
from napari_mrseg.inference.engine import Engine
from napari_mrseg.models.store import Model
from napari_mrseg.remote import server, wire
from napari_mrseg.remote.client import RemoteEngine
from napari_mrseg.remote.server import make_app
from napari_mrseg.remote.token import given_token, own_token
from napari_mrseg.session.state import Session
from napari_mrseg.study import Image
from napari_mrseg.tasks import BRATS

SECRET = "Mustermann"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(model(tmp_path_factory.mktemp("models")), device="cpu")


def until(there: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for it, however slow the machine is."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def served(engine: Engine) -> Iterator[Served]:
    made = Served(engine)
    yield made
    made.stop()


@pytest.fixture
def remote(served: Served) -> Iterator[RemoteEngine]:
    made = RemoteEngine(served.address, TOKEN)
    yield made
    made.close()


def test_the_same_answers_as_here(engine: Engine, remote: RemoteEngine) -> None:
    """Preview and final of one combination, all finals of a sweep: bit for bit, with who computed them."""
    subject = study(reference=True, case=SECRET)
    there = list(remote.run(subject, ("flair", "t1ce")))
    here = list(engine.run(subject, ("flair", "t1ce")))
    assert [p.preview for p in there] == [p.preview for p in here] == [True, False]
    for a, b in zip(there, here, strict=True):
        assert np.array_equal(a.labels, b.labels)
        assert np.array_equal(a.probabilities, b.probabilities)
        assert (a.case, a.combination, a.digest, a.box, a.spacing) == (
            b.case, b.combination, b.digest, b.box, b.spacing,
        )  # fmt: skip
        assert a.grid.same_as(b.grid)
        assert a.device == remote.device_name == "cpu on gpubox"
        assert [n.message for n in a.notes] == [n.message for n in b.notes]
    every = {p.combination: p for p in remote.run_all(subject, BRATS.combinations())}
    for prediction in engine.run_all(subject, BRATS.combinations()):
        assert np.array_equal(every[prediction.combination].labels, prediction.labels)


def test_a_scan_is_sent_once(remote: RemoteEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two combinations and a second study with one new scan: each scan crosses once."""
    sent: list[str] = []
    encode = wire.encode_image
    monkeypatch.setattr(wire, "encode_image", lambda image: (sent.append(image.identity), encode(image))[1])
    subject = study()
    list(remote.run(subject, ("flair", "t1")))
    assert len(sent) == 2
    list(remote.run(subject, ("flair", "t1", "t2")))
    assert len(sent) == 3
    other = replace(subject, images={**subject.images, "t1": Image(volume(9), source("new"))})
    list(remote.run(other, ("flair", "t1")))
    assert len(sent) == 4


def test_scans_that_the_server_let_go_are_sent_again(engine: Engine) -> None:
    """With room for one scan only, a run that needs two ends in a sentence, one that needs one goes on working."""
    served = Served(engine, memory=study().images["t1"].data.nbytes + 1000)
    try:
        remote = RemoteEngine(served.address, TOKEN)
        subject = study()
        for _ in range(2):
            for name in ("t1", "t2"):
                assert list(remote.run(subject, (name,)))[-1].combination == (name,)
        with pytest.raises(DeviceError, match="refused"):
            list(remote.run(subject, ("t1", "t2")))
    finally:
        served.stop()


def test_two_viewers_with_one_name_for_different_scans(engine: Engine, served: Served) -> None:
    """The same hash of a file said of other voxels on another grid: either gets the answer to its own."""
    first, second = study(), study()
    other = Image(
        volume(7, (16, 24, 24)), replace(source("t1", (16, 24, 24)), sha256=first.images["t1"].identity)
    )
    second = replace(second, images={"t1": other})
    for subject in (first, second):
        found = list(RemoteEngine(served.address, TOKEN).run(subject, ("t1",)))[-1]
        assert np.array_equal(
            found.labels, Engine(engine.model, device="cpu").predict(subject, ("t1",)).labels
        )


def test_nothing_private_crosses(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """No case, path, file or header: the bytes that are sent, after decompression, hold no such word."""
    seen: list[bytes] = []
    send = httpx.Client.send

    def spy(self: httpx.Client, request: httpx.Request, **options: object) -> httpx.Response:
        seen.append(str(request.url).encode() + repr(request.headers).encode())
        if request.method != "PUT":
            seen.append(request.read())
        return send(self, request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx.Client, "send", spy)
    encode = wire.encode_image

    def spied(image: Image) -> bytes:
        content = encode(image)
        seen.append(wire.unpacked(content, 2**30))
        return content

    monkeypatch.setattr(wire, "encode_image", spied)
    subject = study(case=SECRET)
    images = {
        n: Image(
            i.data, replace(i.source, path=Path(f"/home/{SECRET}/{n}.nii.gz"), header={"descrip": SECRET})
        )
        for n, i in subject.images.items()
    }
    remote = RemoteEngine(served.address, TOKEN)
    found = list(remote.run(replace(subject, images=images), ("flair", "t1")))
    assert found[-1].case == SECRET  # here it has its name again
    assert len(seen) >= 4
    assert not any(SECRET.encode() in part for part in seen)


def test_cancelled_and_the_newest_wins(
    engine: Engine, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that raises ends the run there, too, so that the next one need not wait for it."""
    running = threading.Event()
    run_all = Engine.run_all

    def slow(self: Engine, subject: object, combinations: object, *, check, **rest: object):
        running.set()
        for _ in range(200):
            check()
            time.sleep(0.05)
        yield from run_all(self, subject, combinations, check=check, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "run_all", slow)
    remote = RemoteEngine(served.address, TOKEN)

    def check() -> None:
        if running.is_set():
            raise Cancelled("newer")

    with pytest.raises(Cancelled):
        list(remote.run_all(study(), [("t1",)], check=check))
    monkeypatch.setattr(Engine, "run_all", run_all)
    began = time.monotonic()
    assert list(remote.run(study(), ("t2",)))[-1].combination == ("t2",)
    assert time.monotonic() - began < 8  # of the ten that the other would have taken


def test_a_session_goes_on_here_when_the_server_goes_away(served: Served) -> None:
    """In the middle of a sweep: one sentence with the fix; the server back: it goes on; a device chosen: here."""
    remote = RemoteEngine(served.address, TOKEN)
    session = Session()
    session.set_predictor(remote)
    session.set_study(study())
    shown = session.wait(60)
    assert "cpu on gpubox" in session.describe()
    assert session.elsewhere == "cpu on gpubox"
    served.stop()
    session.toggle("t1")
    for _ in range(400):
        if session.error:
            break
        time.sleep(0.05)
    assert session.error is not None
    assert "does not answer" in session.error
    assert "choose a device of this computer" in session.error
    served.start()
    session.run()
    again = session.wait(60)
    assert again.combination == ("flair", "t1ce", "t2")
    session.wait_for_sweep(60)
    assert len(session.predictions) == 15
    served.stop()
    session.set_device("cpu")
    assert session.elsewhere == ""
    here = session.wait(120)
    assert here.device == "cpu"
    assert shown.device != here.device
    session.close()


@pytest.mark.parametrize("name", ["tiny", "other"])
def test_another_model_on_the_server_is_said(name: str, served: Served, tmp_path: Path) -> None:
    """The server comes back with other weights, of another name or of the same: its result is refused, not shown under
    the old one's name; whoever asks anew gets the new one's.
    """
    remote, subject = RemoteEngine(served.address, TOKEN), study()
    before = list(remote.run(subject, ("t1",)))[-1]
    served.stop()
    other = Engine(model(tmp_path, name=name, seed=3), device="cpu")
    served.app = make_app(other, TOKEN, name="gpubox")
    served.start()
    with pytest.raises(InputError, match=r"now runs another model than tiny 0\.0"):
        list(remote.run(subject, ("t1",)))
    with pytest.raises(InputError, match="enter its address again"):
        list(remote.run_all(subject, [("t1",), ("t2",)]))
    adopted = RemoteEngine(served.address, TOKEN)
    after = list(adopted.run(subject, ("t1",)))[-1]
    assert after.model["sha256"] == adopted.model.sha256 == other.model.sha256 != before.model["sha256"]


def test_a_model_that_cannot_do_what_the_old_one_could_is_said_too(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal is the new model's: the sentence is about the model, not about the request."""
    remote = RemoteEngine(served.address, TOKEN)
    served.stop()
    served.app = make_app(Engine(model(tmp_path, seed=3), device="cpu"), TOKEN, name="gpubox")
    served.start()
    monkeypatch.setattr("napari_mrseg.remote.server._asked", _refusing)
    with pytest.raises(InputError, match="now runs another model"):
        list(remote.run(study(), ("t1",)))


def _refusing(*_: object) -> object:
    raise ValueError("images must be of rgb, depth")


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("moment", ["upload", "request", "run"])
def test_a_client_that_drops_is_one_line(
    moment: str,
    reset: bool,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of an upload, of a request and of a run: one line without a traceback; the next one is answered."""
    image = study().images["t1"]
    digest, content = wire.digest_of(image), wire.encode_image(image)
    run = json.dumps(asked(images={"t1": digest})).encode()
    run_all, body, begun = Engine.run_all, server._body, threading.Event()

    def slow(self: Engine, *arguments: object, check, **rest: object):
        for _ in range(100):
            check()
            time.sleep(0.05)
        yield from run_all(self, *arguments, check=check, **rest)  # type: ignore[arg-type]

    async def heard(request: Request, most: int) -> bytes | None:
        begun.set()
        return await body(request, most)

    def lines() -> list[str]:
        return [r.getMessage().rsplit(" ", 2)[0] for r in caplog.records if r.name == "mrseg.serve"]

    monkeypatch.setattr(Engine, "run_all", slow)
    monkeypatch.setattr(server, "_body", heard)
    caplog.set_level(logging.INFO)
    served = Served(engine)
    try:
        with httpx.Client(base_url=served.address, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            assert client.put(f"/scans/{digest}", content=content).status_code == 204
            until(lambda: lines() == ["PUT scans 204"])  # the answer comes before the line
            caplog.clear()
            begun.clear()
            what, sent, whole = {
                "upload": (f"PUT /scans/{'0' * 64}", content[:500], 10**6),
                "request": ("POST /runs", run[:9], len(run)),
                "run": ("POST /runs", run, len(run)),
            }[moment]
            with socket.create_connection(("127.0.0.1", served.port)) as raw:
                head = [f"{what} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}"]
                head += [f"Content-Length: {whole}", "", ""]
                raw.sendall("\r\n".join(head).encode() + sent)
                assert begun.wait(60)  # of a connection reset sooner the server never reads what was asked
                if moment == "run":
                    raw.recv(10)
                if reset:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            method, path = what.split("/")[:2]
            until(lambda: bool(lines()))
            assert client.get("/about").status_code == 200
            until(lambda: len(lines()) > 1)
            assert lines() == [f"{method}{path} left", "GET about 200"]
            assert not [r for r in caplog.records if r.exc_info or r.levelno > logging.INFO]
    finally:
        served.stop()


def test_what_is_wrong_with_address_token_or_certificate_is_said(served: Served, tmp_path: Path) -> None:
    """A sentence for each, before anything is sent."""
    for address, said in (
        ("ftp://x", "is no address"),
        ("http://gpubox:8765", "is not encrypted"),
        ("http://localhost:99999", "no port that can be used"),
    ):
        with pytest.raises(InputError, match=said):
            RemoteEngine(address, TOKEN)
    with pytest.raises(InputError, match="does not take this token"):
        RemoteEngine(served.address, "another-token-of-no-use")
    with pytest.raises(DeviceError, match="does not answer"):
        RemoteEngine("http://localhost:1", TOKEN)
    (tmp_path / "x.pem").write_text("nothing")
    with pytest.raises(InputError, match="is no certificate"):
        RemoteEngine("https://localhost:1", TOKEN, certificate=tmp_path / "x.pem")


def test_a_token_lies_where_only_its_owner_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made once, mode 600, found again by the client; a file that holds none is refused."""
    monkeypatch.delenv("MRSEG_TOKEN", raising=False)
    file = tmp_path / "deep" / "token"
    token = own_token(file)
    assert own_token(file) == given_token(file) == token
    assert file.stat().st_mode & 0o777 == 0o600
    (tmp_path / "short").write_text("x")
    for path in (tmp_path / "short", tmp_path / "nowhere"):
        with pytest.raises(InputError, match="token"):
            given_token(path)


@pytest.fixture
def client(engine: Engine) -> Iterator[TestClient]:
    with TestClient(make_app(engine, TOKEN, memory=2**22), raise_server_exceptions=False) as made:
        made.headers["Authorization"] = f"Bearer {TOKEN}"
        yield made


def asked(**changes: object) -> dict[str, object]:
    return {"images": {"t1": "0" * 64}, "combinations": [["t1"]], **changes}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("GET", "/about", None, {"Authorization": "Bearer wrong"}), 401),
        (("GET", "/about", None, {"Authorization": ""}), 401),
        (("POST", "/about", b"", {}), 405),
        (("GET", "/nothing", None, {}), 404),
        (("PUT", "/scans/short", b"x", {}), 400),
        (("PUT", f"/scans/{'../' * 20}", b"x", {}), 404),
        (("PUT", f"/scans/{'0' * 64}", b"not compressed", {}), 400),
        (("PUT", f"/scans/{'0' * 64}", wire.packed(b"no image"), {}), 400),
        (("PUT", f"/scans/{'0' * 64}", wire.packed(bytes(2**23))[:-3], {}), 400),
        (("PUT", f"/scans/{'0' * 64}", wire.encode_image(study().images["t1"]), {}), 400),
        (("PUT", f"/scans/{'0' * 64}", bytes(2**22 + 1), {}), 413),
        (("POST", "/runs", b"no json", {}), 400),
        (("POST", "/runs", b"[" * 50000, {}), 400),
        (("POST", "/runs", bytes(wire.MOST_JSON + 1), {}), 413),
        (("POST", "/runs", json.dumps(asked()).encode(), {}), 409),
        (("POST", "/runs", json.dumps(asked(images={})).encode(), {}), 400),
        (("POST", "/runs", json.dumps(asked(images={"ct": "0" * 64})).encode(), {}), 400),
        (("POST", "/runs", json.dumps(asked(combinations=[["t2"]])).encode(), {}), 400),
        (("POST", "/runs", json.dumps(asked(combinations=[[]])).encode(), {}), 400),
        (("POST", "/runs", json.dumps(asked(combinations=[["t1"]] * 99)).encode(), {}), 400),
        (("POST", "/runs", json.dumps(asked(focus=[1, 2])).encode(), {}), 400),
        (("POST", "/runs", json.dumps(asked(focus=["a", 1, 2])).encode(), {}), 400),
        (("POST", "/runs", json.dumps(asked(more=1)).encode(), {}), 400),
    ],
)
def test_what_is_not_as_agreed_is_refused(
    client: TestClient, request_: tuple[str, str, bytes | None, dict[str, str]], status: int
) -> None:
    """Wrong token, oversized, malformed: its status and a sentence, and the server goes on."""
    method, path, content, headers = request_
    response = client.request(method, path, content=content, headers=headers)
    assert response.status_code == status
    if status in (400, 401, 413):
        assert response.json()["problem"]
    assert client.get("/about").status_code == 200


def test_a_bomb_does_not_unpack(client: TestClient) -> None:
    """A few megabytes that would be gigabytes: refused without holding them."""
    import zlib

    squeeze = zlib.compressobj(9)
    first, further = (squeeze.compress(bytes(2**24)) + squeeze.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    bomb = first + 300 * further  # after a full flush the same bytes unpack to the same again
    with pytest.raises(wire.WireError, match="too large"):
        wire.unpacked(bomb, 2**26)


def test_a_thousand_random_requests(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """None is a server error, the log names nothing that was sent, and a real run is answered afterwards."""
    draws = random.Random(0)
    words = ["about", "scans", "runs", "..", "%00", SECRET, "0" * 64, "é", "?x=1", "a" * 3000]
    methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"]
    good = [json.dumps(asked()).encode(), wire.encode_image(study().images["t1"])]
    with caplog.at_level(logging.INFO, "mrseg.serve"):
        for _ in range(1000):
            body = draws.choice([b"", draws.randbytes(draws.randrange(3000)), *good])
            if body and draws.random() < 0.5:
                spoilt = bytearray(body)
                for _ in range(draws.randrange(1, 6)):
                    spoilt[draws.randrange(len(spoilt))] = draws.randrange(256)
                body = bytes(spoilt)
            path = "/" + "/".join(draws.choice(words) for _ in range(draws.randrange(4)))
            headers = (
                {"x-name": SECRET} if draws.random() < 0.5 else {"content-length": str(draws.randrange(9))}
            )
            if draws.random() < 0.3:
                headers["authorization"] = draws.choice(["", "Bearer x", f"Bearer {TOKEN}x"])
            with contextlib.suppress(httpx.HTTPError, ValueError):
                response = client.request(draws.choice(methods), path, content=body, headers=headers)
                assert response.status_code < 500, (path, response.text)
    assert SECRET not in caplog.text
    assert "other" in caplog.text
    image = study().images["t1"]
    digest = wire.digest_of(image)
    assert client.put(f"/scans/{digest}", content=wire.encode_image(image)).status_code == 204
    answer = client.post("/runs", json=asked(images={"t1": digest}))
    kinds = [kind for kind, _ in wire.frames([answer.content])]
    assert kinds[-1] == wire.END
    assert wire.PREDICTION in kinds


@given(parts=st.lists(st.binary(max_size=40), max_size=8), cut=st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_messages_come_apart_as_they_went_together(parts: list[bytes], cut: int) -> None:
    """Whatever pieces the network makes of them; one that breaks off is noticed."""
    whole = b"".join(wire.frame(wire.PROGRESS, part) for part in parts)
    pieces = [whole[i : i + max(1, cut)] for i in range(0, len(whole), max(1, cut))]
    assert [content for _, content in wire.frames(pieces)] == parts
    if whole:
        with pytest.raises(wire.WireError):
            list(wire.frames([whole[:-1]]))


def test_predictions_survive_the_way(engine: Engine) -> None:
    """Encoded and decoded: the same arrays and words; damaged bytes are refused, never taken for another result."""
    found = list(engine.run(study(), ("t1",)))
    for prediction in found:
        again = decode_prediction(encode_prediction(prediction))
        assert np.array_equal(again.labels, prediction.labels)
        assert again.preview == prediction.preview
        assert again.notes == prediction.notes
    content = encode_prediction(found[-1])
    for damaged in (b"", content[:50], content[:-9], b"x" * 100):
        with pytest.raises(ValueError, match=r".+"):
            decode_prediction(damaged)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "nothing would be encrypted"),
        (["--certificate", "c.pem"], "belong together"),
        (["--certificate", "c.pem", "--key", "k.pem", "--host", "0.0.0.0"], "does not exist"),
    ],
)
def test_a_server_that_would_not_be_safe_does_not_start(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reached from outside without TLS, half a certificate, one that is not there: one sentence."""
    assert cli.main(["serve", *arguments]) == 2
    assert said in capsys.readouterr().err


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), False).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "c.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "k.pem").write_bytes(private)
    return folder / "c.pem", folder / "k.pem"


def test_the_command_serves_over_tls(plain: Model, tmp_path: Path) -> None:
    """``mrseg serve`` as a process with a certificate: answered with it, refused without; the log has no names."""
    certificate, key = certified(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "napari_mrseg.cli",
        "serve",
        "--model",
        str(plain.folder),
        "--device",
        "cpu",
    ]
    command += ["--port", str(port), "--token-file", str(tmp_path / "token"), "--name", "gpubox"]
    command += ["--certificate", str(certificate), "--key", str(key)]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        address, remote = f"https://localhost:{port}", None
        for _ in range(600):
            with contextlib.suppress(DeviceError, InputError):
                remote = RemoteEngine(address, given_token(tmp_path / "token"), certificate=certificate)
                break
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        assert remote is not None
        assert list(remote.run(study(case=SECRET), ("t1",)))[-1].device == "cpu on gpubox"
        with pytest.raises(DeviceError, match="does not answer"):
            RemoteEngine(address, given_token(tmp_path / "token"))
    finally:
        process.terminate()
        process.wait(20)
    text = (tmp_path / "log").read_text()
    assert "runs 200" in text
    assert SECRET not in text
