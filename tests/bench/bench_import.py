"""Time and memory of importing the package, beside the imports that any Pulumi program makes."""

import json
import statistics
import subprocess
import sys
import tempfile
from typing import Any

from tests.bench.measuring import say, table

CLOUD_SDKS = ("azure", "boto3", "botocore", "google.cloud", "googleapiclient", "kubernetes", "s3fs", "sagemaker")
CLOUD_SDKS += ("pulumi_aws", "pulumi_aws_native", "pulumi_azure_native", "pulumi_gcp", "pulumi_kubernetes")
"""What `import modelberth` must leave alone."""

_USED = (
    "cloudwatch.Dashboard, cloudwatch.EventRule, cloudwatch.EventTarget, cloudwatch.MetricAlarm, iam.Role, "
    "iam.RolePolicy, s3.Bucket, s3.BucketObjectv2, s3.BucketPolicy, s3.BucketVersioning, sagemaker.Endpoint, "
    "sagemaker.EndpointConfiguration, sagemaker.Model, sagemaker.Pipeline, scheduler.Schedule, sns.Topic, sqs.Queue"
)
_PLATFORM = "from modelberth import registry; [registry.load('sagemaker', part) for part in registry.CAPABILITIES]"
_BASE = "import pulumi"
_STATEMENTS = {
    "nothing": "pass",
    _BASE: _BASE,
    "import pulumi_aws": "import pulumi_aws",
    "pulumi_aws in use": f"from pulumi_aws import *; ({_USED})",
    "import modelberth": "import modelberth",
    "from modelberth import ModelDeployment": "from modelberth import ModelDeployment",
    "modelberth in use, on SageMaker": _PLATFORM,
}
_CHILD = """
import json, sys, time
began = time.perf_counter()
exec(sys.argv[1])
wall, modules = time.perf_counter() - began, set(sys.modules)
import psutil
print(json.dumps({
    "wall": wall,
    "memory": psutil.Process().memory_info().rss,
    "modules": [name for name in sys.argv[2:] if name in modules],
    "count": len(modules),
}))
"""


def run(repeat: int) -> str:
    """Measure each import in fresh processes, in alternation, and return the section of the report."""
    found: dict[str, list[dict[str, Any]]] = {title: [] for title in _STATEMENTS}
    for number in range(repeat + 1):
        say(f"imports: round {number} of {repeat}")
        for title, statement in _STATEMENTS.items():
            answer = _import(statement)
            if number:  # the first writes and reads what the others find in the disk's cache
                found[title].append(answer)
    base = min(one["wall"] for one in found[_BASE])
    rows: list[list[str]] = []
    for title, answers in found.items():
        best = min(one["wall"] for one in answers)
        rows.append(
            [
                f"`{title}`" if "import" in title else title,
                f"{best:.2f}",
                f"{statistics.median(one['wall'] for one in answers):.2f}",
                f"**{best / base:.2f}**",
                f"{statistics.median(one['memory'] for one in answers) / 1024**2:.0f}",
                str(answers[0]["count"]),
                ", ".join(answers[0]["modules"]) or "none",
            ]
        )
    head = ["In a fresh process", "best", "median", f"ratio to `{_BASE}`", "MiB", "modules", "cloud SDKs among them"]
    return f"Seconds, of {repeat} processes each, and the memory that they hold then.\n\n{table(head, rows)}"


def _import(statement: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as elsewhere:
        command = [sys.executable, "-c", _CHILD, statement, *CLOUD_SDKS]
        done = subprocess.run(command, cwd=elsewhere, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)
