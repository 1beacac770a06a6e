"""`modelberth serve`."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def serve(
    package: Annotated[
        str | None,
        typer.Argument(
            help="Folder or address of the package. Left out: AIP_STORAGE_URI, or the model folder of the container."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(envvar="MODELBERTH_HOST", help="Address to listen on; 0.0.0.0 within a container.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port; left out: SAGEMAKER_BIND_TO_PORT, AIP_HTTP_PORT or 8080. 0: any free."
        ),
    ] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            envvar="MODELBERTH_GRPC_PORT",
            help="Port of the Open Inference Protocol over gRPC, which needs modelberth[grpc]. Left out: no gRPC.",
        ),
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            help="Load a pickle, which runs whatever code its maker put into it. Only if you trust the maker."
        ),
    ] = False,
) -> None:
    """Serve a package by the HTTP contracts of SageMaker, Vertex AI, KServe (V1 and V2) and Azure ML.

    Example: modelberth serve ./packages/churn --port 8080
    """
    from model_packaging.serving.limits import Limits
    from model_packaging.serving.server import default_port, run

    address = (
        package
        or os.environ.get("AIP_STORAGE_URI")
        or os.path.join(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml", "model")
    )
    bound = default_port() if port is None else port
    limits = Limits.from_environment()
    raise SystemExit(run(address, host, bound, limits, grpc_port=grpc_port, allow_pickle=allow_pickle))
