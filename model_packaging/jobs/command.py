"""`modelberth train`, `modelberth retrain` and `modelberth job …`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(
    help="The jobs of the retraining pipeline and the monitor.", no_args_is_help=True, add_completion=False
)


def train() -> None:
    """Run the user's training script as a SageMaker training job does, and keep the package it makes.

    Example: SAGEMAKER_BASE_DIR=/tmp/job modelberth train
    """
    from model_packaging.jobs.failure import into, reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("train", into(layout.failure)):
        from model_packaging.jobs.train import train as run

        run(layout)


def retrain(
    model: Annotated[str, typer.Option(help="The model's name.")] = "",
    entrypoint: Annotated[str, typer.Option(help="The training script below --source, or module:function.")] = "",
    bucket: Annotated[str, typer.Option(help="Where a candidate is published: a folder or an address.")] = "",
    source: Annotated[str, typer.Option(help="Folder or address of the training code.")] = "",
    data: Annotated[
        str, typer.Option(help="What to train on, also pinned by @sha256:…; or a recorded version (.json).")
    ] = "",
    champion: Annotated[str, typer.Option(help="The package to compare with.")] = "",
    gate: Annotated[str, typer.Option(help="The gate's rules as JSON.")] = "",
    parameters: Annotated[str, typer.Option(help="A JSON object for the script.")] = "",
    timeout_seconds: Annotated[str, typer.Option(help="When training is stopped; after a day if left out.")] = "",
    execution: Annotated[str, typer.Option(help="The platform's name of this run.")] = "",
    code_version: Annotated[str, typer.Option(help="The commit of the code.")] = "",
    verdict: Annotated[str, typer.Option(help="Folder or address for verdict.json and verdict.md.")] = "",
    work: Annotated[str, typer.Option(help="Folder in which an interrupted run continues.")] = "",
    settings: Annotated[str, typer.Option(help="All of these as a JSON object, or its file.")] = "",
) -> None:
    """Train on a data version, validate, compare with the champion, judge, and publish the candidate.

    Each option can also be given as MODELBERTH_<OPTION>, and all of them in MODELBERTH_RETRAIN.

    Exit codes: 0 published, 3 refused by the gate, 1 failed, 2 misused.

    Example: modelberth retrain --model churn --source ./training --entrypoint train.py --data ./churn.parquet
    --bucket s3://models --champion s3://models/packages/churn/<hex>@sha256:<hex> --gate '{"no_worse_than": "champion"}'
    """
    options = dict(locals())
    from model_packaging.jobs import retrain_settings
    from model_packaging.jobs.failure import reported

    with reported("retrain", lambda text: None):
        given = retrain_settings.read(options)
        from model_packaging.jobs import retrain as job

    with reported("retrain", job.failed(given)):
        outcome = job.retrain(given)
    if outcome["outcome"] == "refused":
        lines = [f"retrain: {given.model} {outcome['digest'][:19]} is refused", *outcome["problems"]]
        print("\n".join(lines), file=sys.stderr)
        raise SystemExit(job.REFUSED)


@app.command()
def validate() -> None:
    """Check that the candidate is whole, loads in a fresh process and reproduces its predictions.

    Example: SAGEMAKER_BASE_DIR=/tmp/job modelberth job validate
    """
    from model_packaging.jobs.failure import into, reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("validate", into(layout.message)):
        from model_packaging.jobs.validate import validate as run

        run(layout)


@app.command()
def gate() -> None:
    """Judge the candidate by the rules in MODELBERTH_GATE (JSON).

    Example: MODELBERTH_GATE='{"metrics": {"f1": {"min": 0.8}}}' modelberth job gate
    """
    from model_packaging.jobs.failure import into, reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("gate", into(layout.message)):
        from model_packaging.jobs.gate import gate as run

        run(layout)


@app.command()
def publish() -> None:
    """Publish the candidate that passed the gate to MODELBERTH_BUCKET as MODELBERTH_MODEL.

    Example: MODELBERTH_BUCKET=s3://bucket MODELBERTH_MODEL=churn modelberth job publish
    """
    from model_packaging.jobs.failure import into, reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("publish", into(layout.message)):
        from model_packaging.jobs.publish import publish as run

        run(layout)


@app.command()
def monitor() -> None:
    """Compare captured traffic with the package's baseline; write a report and metrics.

    Example: MODELBERTH_CAPTURE=s3://bucket/capture/churn MODELBERTH_PACKAGE=s3://bucket/packages/churn/<hex>
    MODELBERTH_REPORTS=s3://bucket/monitoring/churn MODELBERTH_ENDPOINT=churn
    MODELBERTH_METRICS=stdout: modelberth job monitor
    """
    from model_packaging.jobs.failure import into, reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("monitor", into(layout.message)):
        from model_packaging.jobs.monitor.job import monitor as run

        run()
