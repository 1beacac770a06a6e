"""Where a job's files are: SageMaker's own folders, below one base.

Rules: "How Amazon SageMaker AI provides training information" (input/config, input/data/<channel>,
model, output/failure) and "How Amazon SageMaker Processing runs your processing container image"
(processing/…, output/message, which becomes the job's ExitMessage).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The folders of one job."""

    base: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Layout:
        """`/opt/ml`, or what the SageMaker training toolkit's own variable says."""
        return cls(Path(environment.get("SAGEMAKER_BASE_DIR") or "/opt/ml"))

    @property
    def hyperparameters(self) -> Path:
        return self.base / "input" / "config" / "hyperparameters.json"

    @property
    def channels(self) -> Path:
        return self.base / "input" / "data"

    @property
    def model(self) -> Path:
        return self.base / "model"

    @property
    def checkpoints(self) -> Path:
        """What a training script keeps for the case that it is interrupted; SageMaker copies it to S3 and back where
        the job has a CheckpointConfig."""
        return self.base / "checkpoints"

    @property
    def data_version(self) -> Path:
        """Which data the job got, where the platform tells it."""
        return self.base / "input" / "config" / "data.json"

    @property
    def failure(self) -> Path:
        """Why training failed; SageMaker shows the first 1,024 characters as FailureReason."""
        return self.base / "output" / "failure"

    @property
    def message(self) -> Path:
        """Why processing failed; SageMaker shows the first 1,024 characters as ExitMessage."""
        return self.base / "output" / "message"

    @property
    def candidate(self) -> Path:
        """The training job's result, as SageMaker packed it."""
        return self.base / "processing" / "candidate" / "model.tar.gz"

    @property
    def champion(self) -> Path:
        """The package that is served now; absent before the first deployment."""
        return self.base / "processing" / "champion"

    @property
    def report(self) -> Path:
        return self.base / "processing" / "report" / "validation.json"

    @property
    def verdict(self) -> Path:
        return self.base / "processing" / "verdict" / "verdict.json"

    @property
    def verdict_for_people(self) -> Path:
        return self.verdict.with_suffix(".md")
