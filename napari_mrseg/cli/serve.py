"""``serve``: the engine for viewers on other computers."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from napari_mrseg.cli.options import Device, ModelName, Precision, TaskName, given_model, say, which_task
from napari_mrseg.errors import InputError

app = typer.Typer()


@app.command()
def serve(
    model: ModelName = None,
    task: TaskName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen at; other than this computer's own it needs a certificate."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0: any that is free.")] = 8765,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="PEM", help="TLS certificate, with its chain.")
    ] = None,
    private_key: Annotated[Path | None, typer.Option("--key", metavar="PEM", help="Its private key.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Where the token lies; made if it is not there."),
    ] = None,
    memory: Annotated[
        float, typer.Option("--memory", metavar="GIB", min=0.1, help="Memory for scans that were sent.")
    ] = 8.0,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What this computer is called on viewers' screens; default: its name."),
    ] = None,
) -> None:
    """Let viewers on other computers use this one's GPU: mrseg view SUBJECT --engine ADDRESS.

    Example: mrseg serve --device cuda
    """
    try:
        import uvicorn

        from napari_mrseg.remote.server import make_app
    except ModuleNotFoundError as error:
        raise InputError(
            f'Serving needs {error.name}, which is not installed; pip install "napari-mrseg[remote]".'
        ) from None
    from napari_mrseg.inference.engine import Engine
    from napari_mrseg.models.store import load_model
    from napari_mrseg.remote.token import own_token
    from napari_mrseg.remote.token import token_file as usual

    if (certificate is None) != (private_key is None):
        raise InputError("A certificate and its key belong together; give both --certificate and --key.")
    if certificate is None and not _own(host):
        raise InputError(
            f"{host} can be reached from other computers, and nothing would be encrypted; give --certificate and "
            "--key, or stay at 127.0.0.1 and use an SSH tunnel (docs/remote.md)."
        )
    for file in (certificate, private_key):
        if file is not None and not file.is_file():
            raise InputError(f"{file} does not exist; check the path.")
    loaded = given_model(model, task)
    loaded = loaded or load_model(task=which_task(task, None, []))
    token = own_token(token_file)
    engine = Engine(loaded, device=device, precision=precision)
    application = make_app(engine, token, memory=round(memory * 2**30), name=name)
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        ssl_certfile=None if certificate is None else str(certificate),
        ssl_keyfile=None if private_key is None else str(private_key),
        log_config=_LOGGING,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    scheme = "http" if certificate is None else "https"
    say(
        f"{loaded.card.name} {loaded.card.version} on {engine.device_name} ({engine.precision}) "
        f"at {scheme}://{host}:{port}. The token is in {token_file or usual()}. Ctrl+C ends it."
    )
    uvicorn.Server(config).run()


def _own(host: str) -> bool:
    """True for an address that only this computer reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(message)s", "datefmt": "%H:%M:%S"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "loggers": {
        "mrseg.serve": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}
