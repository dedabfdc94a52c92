"""``cohort``: many studies at once."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_mrseg.cli.options import (
    AssumeRas,
    Brain,
    BrainOption,
    Certificate,
    Device,
    EngineAt,
    Json,
    Labels,
    ModelName,
    NoReference,
    Onto,
    Out,
    Precision,
    TaskName,
    TokenFile,
    answer,
    given_model,
    progress_bar,
    read_options,
    remote_engine,
    say,
    which_task,
)
from napari_mrseg.errors import DeviceError

if TYPE_CHECKING:
    from napari_mrseg.models.store import About

app = typer.Typer()


@app.command()
def cohort(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|LIST.csv", help="Folder tree, BIDS data set, or list of studies.")
    ],
    out: Out,
    use: Annotated[
        list[str] | None,
        typer.Option(
            "--use", metavar="A,B", help="A combination of modalities; again for more. Default: all."
        ),
    ] = None,
    no_labels: Annotated[
        bool,
        typer.Option("--no-labels", help="Keep the numbers and a thumbnail of each study, no label files."),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes on this machine; default: as many as fit."),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=0, help="Threads of each; 0: its share of the cores.")
    ] = 0,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="Limit of each, such as 6GiB.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="ADDRESS", help="A Dask scheduler that is running, e.g. tls://host:8786."
        ),
    ] = None,
    task: TaskName = None,
    model: ModelName = None,
    device: Device = "auto",
    precision: Precision = "auto",
    engine: EngineAt = None,
    token_file: TokenFile = None,
    certificate: Certificate = None,
    no_reference: NoReference = False,
    labels: Labels = None,
    assume_ras: AssumeRas = False,
    onto: Onto = None,
    brain: Brain = BrainOption.auto,
    as_json: Json = False,
) -> None:
    """Segment every study of a folder or a list; one table, one report. Run it again and it goes on where it stopped.

    Example: mrseg cohort studies/ -o cohort --use flair,t1,t1ce,t2 --use flair,t1
    """
    from napari_mrseg.cohort.cohort_report import REPORT, write_report
    from napari_mrseg.cohort.find import find_studies
    from napari_mrseg.cohort.run import run_cohort
    from napari_mrseg.cohort.summary import TABLE_CSV, facts, gather, same_scans, write_facts, write_tables
    from napari_mrseg.cohort.work import FAILED, Order
    from napari_mrseg.models.store import load_model

    remote = remote_engine(engine, token_file, certificate, model=model)
    given = given_model(model, task)
    kind = which_task(task, given if remote is None else remote.model, [])
    loaded: About
    if remote is not None:
        loaded, folder = remote.model, ""
    else:
        own = given or load_model(task=kind)
        loaded, folder = own, str(own.folder)
    studies = find_studies(source, kind, say=_warn)
    options = read_options(
        kind, no_reference=no_reference, labels=labels, assume_ras=assume_ras, onto=onto, brain=brain
    )
    order = Order(
        model=folder,
        sha256=loaded.sha256,
        task=kind.name,
        device=device,
        precision=precision,
        use=tuple(kind.combination(name for name in one.split(",")) for one in use or ()),
        **options.arguments(),
        write_labels=not no_labels,
        threads=threads,
        engine=(engine or "", str(token_file or ""), str(certificate or "")),
    )
    with progress_bar(f"{len(studies)} studies") as bar:
        states = run_cohort(
            studies,
            order,
            out,
            workers=workers,
            memory=memory,
            scheduler=scheduler,
            report=lambda done, total, name: bar(done / total, f"{done} of {total} {name}"),
            notice=_warn,
        )
    found = gather(studies, out, kind)
    for alike in same_scans(found):
        _warn(alike.sentence)
    write_tables(found, out)
    write_facts(found, out)
    write_report(found, out, model=f"{loaded.card.name} {loaded.card.version}", date=date.today().isoformat())
    answer(
        facts(found) | {"states": states},
        as_json,
        lambda: "\n".join(
            [
                f"{states['done']} of {len(studies)} studies: {out / TABLE_CSV}, {out / REPORT}",
                *(f"{one['name']}: {one['reason']}" for one in found.bad[:10]),
                *([f"and {len(found.bad) - 10} more without a result."] if len(found.bad) > 10 else []),
                f"Model {loaded.card.name} {loaded.card.version}. Research use only.",
            ]
        ),
    )
    if states[FAILED]:
        say(
            f"{states[FAILED]} studies failed for another reason than their files; run the same again to go on."
        )
        raise typer.Exit(DeviceError.exit_code)


def _warn(sentence: str) -> None:
    say(f"Warning: {sentence}")
