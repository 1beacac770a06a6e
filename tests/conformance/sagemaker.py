"""SageMaker on this machine: the AWS emulator, whose minutes take two seconds, asked by plain boto3."""

import json
from datetime import datetime, timedelta
from typing import Any

from sandbox import settings
from sandbox.aws.server import Handle, start
from tests.conformance import world

REGION = "eu-central-1"
SPEED = 30.0
IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/modelberth:0.1.0"
SERVICES = (
    *("appautoscaling", "cloudwatch", "ecr", "events", "iam", "kms", "logs", "s3", "sagemaker", "scheduler"),
    *("sns", "sqs", "sts"),
)
_STATES = {"Executing": "executing", "Succeeded": "succeeded", "Failed": "failed"}


class World(world.World):
    """The suite's view of SageMaker."""

    handle: Handle

    def start(self) -> None:
        self.handle = start(speed=SPEED, folder=self.folder.parent / f"{self.folder.name}-work")
        self._clients: dict[str, Any] = {}

    def stop(self) -> None:
        self.handle.stop()

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self.handle.client(service, REGION)
        return self._clients[service]

    def environment(self) -> dict[str, str]:
        return settings.clients(self.handle.url, REGION)

    def config(self) -> dict[str, Any]:
        return {
            "aws:region": REGION,
            "aws:accessKey": settings.ACCESS_KEY,
            "aws:secretKey": settings.SECRET_KEY,
            "aws:skipCredentialsValidation": "true",
            "aws:skipMetadataApiCheck": "true",
            "aws:s3UsePathStyle": "true",
            "aws:endpoints": [dict.fromkeys(SERVICES, self.handle.url)],
            "modelberth:platform": "sagemaker",
            "modelberth:image": IMAGE,
        }

    def predict(self, endpoint: str, body: str, content_type: str, accept: str) -> str:
        answer = self.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint, Body=body, ContentType=content_type, Accept=accept
        )
        return str(answer["Body"].read().decode())

    def served(self, endpoint: str) -> dict[str, int]:
        cloudwatch = self.client("cloudwatch")
        found = cloudwatch.list_metrics(
            Namespace="AWS/SageMaker",
            MetricName="Invocations",
            Dimensions=[{"Name": "EndpointName", "Value": endpoint}],
        )["Metrics"]
        now = datetime.fromisoformat(self.handle.get("health")["time"])
        counts: dict[str, int] = {}
        for metric in found:
            points = cloudwatch.get_metric_statistics(
                **metric,
                StartTime=now - timedelta(days=2),
                EndTime=now + timedelta(hours=1),
                Period=86400,
                Statistics=["Sum"],
            )["Datapoints"]
            variant = next(one["Value"] for one in metric["Dimensions"] if one["Name"] == "VariantName")
            counts[variant] = round(sum(point["Sum"] for point in points))
        return counts

    def running(self, endpoint: str) -> list[str]:
        sagemaker = self.client("sagemaker")
        config = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        variants = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        models = [sagemaker.describe_model(ModelName=variant["ModelName"]) for variant in variants]
        return [model["PrimaryContainer"]["Environment"]["MODELBERTH_PACKAGE_DIGEST"] for model in models]

    def break_replicas(self, endpoint: str) -> None:
        self.handle.post("kill", name=f"endpoint {endpoint}")

    def heal_replicas(self, endpoint: str) -> None:
        """SageMaker starts another container in the place of one that ended."""

    def scaled(self, endpoint: str) -> tuple[int, int] | None:
        targets = self.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
        for target in targets["ScalableTargets"]:
            if target["ResourceId"].startswith(f"endpoint/{endpoint}/"):
                return target["MinCapacity"], target["MaxCapacity"]
        return None

    def alarm_state(self, name: str) -> str:
        return str(self.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])

    def told(self) -> list[str]:
        return [str(message["subject"]) for message in self.handle.get("outbox")]

    def start_job(self, name: str) -> str:
        started = self.client("sagemaker").start_pipeline_execution(PipelineName=name)
        return str(started["PipelineExecutionArn"])

    def runs(self, name: str) -> dict[str, str]:
        found = self.client("sagemaker").list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
        return {
            one["PipelineExecutionArn"]: _STATES.get(one["PipelineExecutionStatus"], one["PipelineExecutionStatus"])
            for one in found
        }

    def why(self, name: str, run: str) -> str:
        sagemaker = self.client("sagemaker")
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=run)["PipelineExecutionSteps"]
        return json.dumps(steps, default=str)

    def objects(self, bucket: str) -> list[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket.removeprefix("s3://"))
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def bucket_facts(self, bucket: str) -> dict[str, bool]:
        s3, name = self.client("s3"), bucket.removeprefix("s3://")
        blocked = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        rules = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
        return {
            "versioned": s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled",
            "encrypted": bool(rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]),
            "private": all(blocked.values()) and len(blocked) == 4,
            "refuses plain text": any(
                statement["Effect"] == "Deny"
                and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
                and statement["Principal"] == "*"
                for statement in policy["Statement"]
            ),
        }

    def everything(self) -> set[str]:
        found: set[str] = set()

        def add(kind: str, names: list[str]) -> None:
            found.update(f"{kind} {name}" for name in names)

        sagemaker, events = self.client("sagemaker"), self.client("events")
        add("bucket", [one["Name"] for one in self.client("s3").list_buckets()["Buckets"]])
        add("role", [one["RoleName"] for one in self.client("iam").list_roles()["Roles"]])
        add("endpoint", [one["EndpointName"] for one in sagemaker.list_endpoints()["Endpoints"]])
        add("config", [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]])
        add("model", [one["ModelName"] for one in sagemaker.list_models()["Models"]])
        add("pipeline", [one["PipelineName"] for one in sagemaker.list_pipelines()["PipelineSummaries"]])
        add("schedule", [one["Name"] for one in self.client("scheduler").list_schedules()["Schedules"]])
        add("alarm", [one["AlarmName"] for one in self.client("cloudwatch").describe_alarms()["MetricAlarms"]])
        add(
            "dashboard",
            [one["DashboardName"] for one in self.client("cloudwatch").list_dashboards()["DashboardEntries"]],
        )
        add("topic", [one["TopicArn"] for one in self.client("sns").list_topics()["Topics"]])
        add("queue", self.client("sqs").list_queues().get("QueueUrls", []))
        add("rule", [one["Name"] for one in events.list_rules()["Rules"]])
        scaling = self.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
        add("scalable target", [one["ResourceId"] for one in scaling["ScalableTargets"]])
        # A job's process ends by itself, whatever becomes of what started it.
        served = [one["name"] for one in self.handle.get("processes") if one["name"].startswith("endpoint ")]
        add("process", served)
        return found
