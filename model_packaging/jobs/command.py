"""`modelberth train` and `modelberth job …`."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="The jobs of the retraining pipeline and the monitor.", no_args_is_help=True, add_completion=False
)


def train() -> None:
    """Run the user's training script as a SageMaker training job does, and keep the package it makes.

    Example: SAGEMAKER_BASE_DIR=/tmp/job modelberth train
    """
    from model_packaging.jobs.failure import reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("train", layout.failure):
        from model_packaging.jobs.train import train as run

        run(layout)


@app.command()
def validate() -> None:
    """Check that the candidate is whole, loads in a fresh process and reproduces its predictions.

    Example: SAGEMAKER_BASE_DIR=/tmp/job modelberth job validate
    """
    from model_packaging.jobs.failure import reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("validate", layout.message):
        from model_packaging.jobs.validate import validate as run

        run(layout)


@app.command()
def gate() -> None:
    """Judge the candidate by the rules in MODELBERTH_GATE (JSON).

    Example: MODELBERTH_GATE='{"metrics": {"f1": {"min": 0.8}}}' modelberth job gate
    """
    from model_packaging.jobs.failure import reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("gate", layout.message):
        from model_packaging.jobs.gate import gate as run

        run(layout)


@app.command()
def publish() -> None:
    """Publish the candidate that passed the gate to MODELBERTH_BUCKET as MODELBERTH_MODEL.

    Example: MODELBERTH_BUCKET=s3://bucket MODELBERTH_MODEL=churn modelberth job publish
    """
    from model_packaging.jobs.failure import reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("publish", layout.message):
        from model_packaging.jobs.publish import publish as run

        run(layout)


@app.command()
def monitor() -> None:
    """Compare captured traffic with the package's baseline; write a report and metrics.

    Example: MODELBERTH_CAPTURE=s3://bucket/capture/churn MODELBERTH_PACKAGE=s3://bucket/packages/churn/<hex>
    MODELBERTH_REPORTS=s3://bucket/monitoring/churn MODELBERTH_ENDPOINT=churn
    MODELBERTH_METRICS=stdout: modelberth job monitor
    """
    from model_packaging.jobs.failure import reported
    from model_packaging.jobs.layout import Layout

    layout = Layout.from_environment()
    with reported("monitor", layout.message):
        from model_packaging.jobs.monitor.job import monitor as run

        run()
