"""What `ModelDeployment` makes of the conformance suite's model, written in plain pulumi_aws.

It is what an author would write who knows this model, this account and these settings, and wants nothing else: no
component, no check of a package, no choice of a machine. The benchmark proves that the resources are the same.
"""

import hashlib
import json
from pathlib import Path

import pulumi
import pulumi_aws as aws

config = pulumi.Config("bench")
image = config.require("image")
package = Path(config.require("package"))
script = Path(config.require("script"))
table = Path(config.require("table"))

partition = aws.get_partition().partition
region = aws.get_region().region
account = aws.get_caller_identity().account_id
prefix = f"{pulumi.get_project()}-{pulumi.get_stack()}"
tags = {"modelberth:project": pulumi.get_project(), "modelberth:stack": pulumi.get_stack()}

digest = hashlib.sha256((package / "manifest.json").read_bytes()).hexdigest()
script_key = f"{hashlib.sha256(script.read_bytes()).hexdigest()}/"
table_key = f"{hashlib.sha256(table.read_bytes()).hexdigest()}/"
package_files = [file for file in sorted(package.rglob("*")) if file.is_file() and file.name != "manifest.json"]
package_key = f"packages/tumours/{digest}/"


def arn(service: str, resource: str) -> str:
    return f"arn:{partition}:{service}:{region}:{account}:{resource}"


def policy(*statements: dict[str, object]) -> pulumi.Output[str]:
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": statements})


def trust(service: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": service},
                    "Action": "sts:AssumeRole",
                    "Condition": {"StringEquals": {"aws:SourceAccount": account}},
                }
            ],
        }
    )


pull_image = [
    {
        "Sid": "PullImage",
        "Effect": "Allow",
        "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        "Resource": arn("ecr", "repository/modelberth"),
    },
    {"Sid": "LogInToRegistry", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
]


def write_logs(*groups: str) -> dict[str, object]:
    return {
        "Sid": "WriteLogs",
        "Effect": "Allow",
        "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        "Resource": [arn("logs", f"log-group:{group}{end}") for group in groups for end in ("", ":*")],
    }


def write_metrics(*namespaces: str) -> dict[str, object]:
    return {
        "Sid": "WriteMetrics",
        "Effect": "Allow",
        "Action": "cloudwatch:PutMetricData",
        "Resource": "*",
        "Condition": {"StringEquals": {"cloudwatch:namespace": namespaces}},
    }


def read_objects(bucket: aws.s3.Bucket, *keys: str) -> list[dict[str, object]]:
    return [
        {
            "Sid": "ReadObjects",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [pulumi.Output.concat(bucket.arn, "/", key, "*") for key in keys],
        },
        {
            "Sid": "ListObjects",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket.arn,
            "Condition": {"StringLike": {"s3:prefix": [f"{key}*" for key in keys]}},
        },
    ]


def write_objects(bucket: aws.s3.Bucket, *keys: str) -> dict[str, object]:
    return {
        "Sid": "WriteObjects",
        "Effect": "Allow",
        "Action": ["s3:AbortMultipartUpload", "s3:PutObject"],
        "Resource": [pulumi.Output.concat(bucket.arn, "/", key, "*") for key in keys],
    }


def run_jobs(role: aws.iam.Role) -> list[dict[str, object]]:
    return [
        {
            "Sid": "RunJobs",
            "Effect": "Allow",
            "Action": [
                "sagemaker:CreateTrainingJob",
                "sagemaker:DescribeTrainingJob",
                "sagemaker:StopTrainingJob",
                "sagemaker:CreateProcessingJob",
                "sagemaker:DescribeProcessingJob",
                "sagemaker:StopProcessingJob",
                "sagemaker:AddTags",
            ],
            "Resource": [arn("sagemaker", "training-job/pipelines-*"), arn("sagemaker", "processing-job/pipelines-*")],
        },
        {
            "Sid": "PassRole",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": role.arn,
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        },
    ]


def refuse_plain_text(action: str, resource: pulumi.Output[str]) -> dict[str, object]:
    return {
        "Sid": "RefusePlainText",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def put(
    name: str, bucket: aws.s3.Bucket, key: str, file: Path, after: list[pulumi.Resource] | None = None
) -> aws.s3.BucketObjectv2:
    return aws.s3.BucketObjectv2(
        name,
        bucket=bucket.id,
        key=key,
        source=pulumi.FileAsset(str(file)),
        tags=tags,
        opts=pulumi.ResourceOptions(depends_on=after, retain_on_delete=True),
    )


def make_bucket(model: str) -> aws.s3.Bucket:
    name = f"{model}-bucket"
    bucket = aws.s3.Bucket(name, force_destroy=True, tags=tags)
    private = aws.s3.BucketPublicAccessBlock(
        f"{name}-private",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    aws.s3.BucketOwnershipControls(
        f"{name}-ownership", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        f"{name}-encryption",
        bucket=bucket.id,
        rules=[
            {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}, "bucket_key_enabled": False},
        ],
    )
    versioned = aws.s3.BucketVersioning(
        f"{name}-versioning", bucket=bucket.id, versioning_configuration={"status": "Enabled"}
    )
    aws.s3.BucketLifecycleConfiguration(
        f"{name}-lifecycle",
        bucket=bucket.id,
        rules=[
            {
                "id": "expire-noncurrent",
                "status": "Enabled",
                "filter": {"prefix": ""},
                "noncurrent_version_expiration": {"noncurrent_days": 90},
                "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
            }
        ],
        opts=pulumi.ResourceOptions(depends_on=[versioned]),
    )
    aws.s3.BucketPolicy(
        f"{name}-tls-only",
        bucket=bucket.id,
        policy=policy(
            {
                "Sid": "DenyInsecureTransport",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [bucket.arn, pulumi.Output.concat(bucket.arn, "/*")],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ),
        opts=pulumi.ResourceOptions(depends_on=[private]),
    )
    return bucket


def make_alarms(model: str, endpoint: str) -> dict[str, aws.cloudwatch.MetricAlarm]:
    name = f"{model}-alarms"
    topic = aws.sns.Topic(f"{name}-topic", name=f"{prefix}-{name}", tags=tags)
    aws.sns.TopicPolicy(
        f"{name}-topic-policy",
        arn=topic.arn,
        policy=policy(
            {
                "Sid": "PublishAlarms",
                "Effect": "Allow",
                "Principal": {"Service": "cloudwatch.amazonaws.com"},
                "Action": "sns:Publish",
                "Resource": topic.arn,
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": account},
                    "ArnLike": {"aws:SourceArn": arn("cloudwatch", "alarm:*")},
                },
            },
            refuse_plain_text("sns:Publish", topic.arn),
        ),
    )
    aws.sns.TopicSubscription(f"{name}-subscriber-1", topic=topic.arn, protocol="email", endpoint="ml@example.org")
    serving = {"EndpointName": endpoint, "VariantName": "primary"}
    latency = aws.cloudwatch.MetricAlarm(
        f"{name}-latency_p95",
        name=f"{prefix}-{name}-latency-p95",
        alarm_description=f"{endpoint}: time the model takes to answer, 95th percentile above 250ms. Look at "
        "saturation first; then scale out, or roll back the last package.",
        comparison_operator="GreaterThanThreshold",
        threshold=250000.0,
        evaluation_periods=1,
        datapoints_to_alarm=1,
        treat_missing_data="notBreaching",
        namespace="AWS/SageMaker",
        metric_name="ModelLatency",
        dimensions=serving,
        period=60,
        extended_statistic="p95",
        alarm_actions=[topic.arn],
        ok_actions=[topic.arn],
        tags=tags,
    )
    errors = aws.cloudwatch.MetricAlarm(
        f"{name}-error_rate",
        name=f"{prefix}-{name}-error-rate",
        alarm_description=f"{endpoint}: share of requests that the model failed to answer (5xx) above 20%. Read the "
        "endpoint's log; roll back if it began with the last package.",
        comparison_operator="GreaterThanThreshold",
        threshold=0.2,
        evaluation_periods=1,
        datapoints_to_alarm=1,
        treat_missing_data="notBreaching",
        metric_queries=[
            {"id": "value", "expression": "SUM([m1]) / SUM([n1])", "label": "error_rate", "return_data": True},
            {
                "id": "m1",
                "metric": {
                    "namespace": "AWS/SageMaker",
                    "metric_name": "Invocation5XXErrors",
                    "dimensions": serving,
                    "period": 60,
                    "stat": "Sum",
                },
            },
            {
                "id": "n1",
                "metric": {
                    "namespace": "AWS/SageMaker",
                    "metric_name": "Invocations",
                    "dimensions": serving,
                    "period": 60,
                    "stat": "Sum",
                },
            },
        ],
        alarm_actions=[topic.arn],
        ok_actions=[topic.arn],
        tags=tags,
    )
    drift = aws.cloudwatch.MetricAlarm(
        f"{name}-drift.psi",
        name=f"{prefix}-{name}-drift-psi",
        alarm_description=f"{endpoint}: population stability index of the input that drifted most, against the "
        "training data above 0.2. Read the drift report: a broken source is mended there, a changed world by "
        "retraining.",
        comparison_operator="GreaterThanThreshold",
        threshold=0.2,
        evaluation_periods=1,
        datapoints_to_alarm=1,
        treat_missing_data="ignore",
        namespace="modelberth",
        metric_name="drift.psi",
        dimensions={"EndpointName": endpoint},
        period=60,
        statistic="Maximum",
        alarm_actions=[topic.arn],
        ok_actions=[topic.arn],
        tags=tags,
    )
    missing = aws.cloudwatch.MetricAlarm(
        f"{name}-data.missing_ratio",
        name=f"{prefix}-{name}-data-missing-ratio",
        alarm_description=f"{endpoint}: share of missing values in the input where it is highest above 5%. Find the "
        "source that stopped sending; the model answers from what is left.",
        comparison_operator="GreaterThanThreshold",
        threshold=0.05,
        evaluation_periods=1,
        datapoints_to_alarm=1,
        treat_missing_data="ignore",
        namespace="modelberth",
        metric_name="data.missing_ratio",
        dimensions={"EndpointName": endpoint},
        period=60,
        statistic="Maximum",
        alarm_actions=[topic.arn],
        ok_actions=[topic.arn],
        tags=tags,
    )
    aws.cloudwatch.Dashboard(
        f"{name}-dashboard",
        dashboard_name=f"{prefix}-{name}",
        dashboard_body=pulumi.Output.json_dumps(
            {
                "widgets": [
                    {
                        "type": "alarm",
                        "x": 0,
                        "y": 0,
                        "width": 24,
                        "height": 3,
                        "properties": {
                            "title": "Alarms",
                            "alarms": [missing.arn, drift.arn, errors.arn, latency.arn],
                        },
                    },
                    widget(0, 3, "Requests", [serving_metric("Invocations", endpoint)], "Sum"),
                    widget(
                        8,
                        3,
                        "Time the model takes (µs)",
                        [
                            [*serving_metric("ModelLatency", endpoint), {"stat": "p95", "label": "p95"}],
                            [*serving_metric("ModelLatency", endpoint), {"stat": "p99", "label": "p99"}],
                        ],
                        "p95",
                    ),
                    widget(
                        16,
                        3,
                        "Errors",
                        [
                            serving_metric("Invocation4XXErrors", endpoint),
                            serving_metric("Invocation5XXErrors", endpoint),
                        ],
                        "Sum",
                    ),
                    widget(0, 9, "Processors (100 for each)", [machine_metric("CPUUtilization", endpoint)], "Average"),
                    widget(8, 9, "Memory (%)", [machine_metric("MemoryUtilization", endpoint)], "Average"),
                    widget(16, 9, "Disk (%)", [machine_metric("DiskUtilization", endpoint)], "Average"),
                    widget(
                        0,
                        15,
                        "Drift (population stability index)",
                        [
                            ["modelberth", "drift.psi", "EndpointName", endpoint],
                            ["modelberth", "drift.prediction_psi", "EndpointName", endpoint],
                        ],
                        "Maximum",
                    ),
                    widget(
                        8,
                        15,
                        "Data quality (shares)",
                        [
                            ["modelberth", "data.missing_ratio", "EndpointName", endpoint],
                            ["modelberth", "data.out_of_range_ratio", "EndpointName", endpoint],
                            ["modelberth", "data.unseen_category_ratio", "EndpointName", endpoint],
                        ],
                        "Maximum",
                    ),
                ]
            }
        ),
    )
    return {"latency_p95": latency, "error_rate": errors, "drift.psi": drift, "data.missing_ratio": missing}


def widget(x: int, y: int, title: str, metrics: list[list[object]], statistic: str) -> dict[str, object]:
    return {
        "type": "metric",
        "x": x,
        "y": y,
        "width": 8,
        "height": 6,
        "properties": {"title": title, "metrics": metrics, "region": region, "stat": statistic, "period": 60},
    }


def serving_metric(metric: str, endpoint: str) -> list[object]:
    return ["AWS/SageMaker", metric, "EndpointName", endpoint, "VariantName", "primary"]


def machine_metric(metric: str, endpoint: str) -> list[object]:
    return ["/aws/sagemaker/Endpoints", metric, "EndpointName", endpoint, "VariantName", "primary"]


def make_monitor(model: str, endpoint: str, bucket: aws.s3.Bucket) -> None:
    name = f"{model}-alarms-monitor"
    role = aws.iam.Role(
        f"{name}-job-role",
        name=f"{prefix}-{name}-job",
        assume_role_policy=trust("sagemaker.amazonaws.com"),
        tags=tags,
    )
    permissions = aws.iam.RolePolicy(
        f"{name}-job-policy",
        role=role.name,
        policy=policy(
            *run_jobs(role),
            write_logs("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"),
            *pull_image,
            *read_objects(bucket, f"capture/{endpoint}/", package_key),
            write_objects(bucket, f"monitoring/{model}/"),
            write_metrics("modelberth", "/aws/sagemaker/ProcessingJobs"),
        ),
    )
    pipeline = aws.sagemaker.Pipeline(
        name,
        pipeline_name=f"{prefix}-{name}",
        pipeline_display_name=f"{prefix}-{name}",
        pipeline_description=f"Compares the traffic of {endpoint} with the data that {model} was trained on.",
        role_arn=role.arn,
        pipeline_definition=pulumi.Output.json_dumps(
            {
                "Version": "2020-12-01",
                "Metadata": {},
                "Parameters": [],
                "Steps": [
                    {
                        "Name": "Monitor",
                        "Type": "Processing",
                        "Arguments": {
                            "AppSpecification": {
                                "ImageUri": image,
                                "ContainerEntrypoint": ["modelberth"],
                                "ContainerArguments": ["job", "monitor"],
                            },
                            "RoleArn": role.arn,
                            "ProcessingResources": {
                                "ClusterConfig": {
                                    "InstanceType": "ml.m5.large",
                                    "InstanceCount": 1,
                                    "VolumeSizeInGB": 30,
                                }
                            },
                            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
                            "Environment": {
                                "MODELBERTH_CAPTURE": pulumi.Output.concat("s3://", bucket.id, "/capture/", endpoint),
                                "MODELBERTH_PACKAGE": pulumi.Output.concat(
                                    "s3://", bucket.id, "/", package_key.rstrip("/")
                                ),
                                "MODELBERTH_REPORTS": pulumi.Output.concat("s3://", bucket.id, "/monitoring/", model),
                                "MODELBERTH_METRICS": "cloudwatch:modelberth",
                                "MODELBERTH_ENDPOINT": endpoint,
                                "MODELBERTH_WINDOW_HOURS": "24",
                            },
                        },
                    }
                ],
            }
        ),
        tags=tags,
        opts=pulumi.ResourceOptions(depends_on=[permissions]),
    )
    make_schedule(
        name,
        pipeline,
        make_dead_letters(name),
        "cron(0 3 1 1 ? *)",
        "UTC",
        f"Compares the traffic of {endpoint} with the data that {model} was trained on.",
    )


def make_dead_letters(name: str) -> aws.sqs.Queue:
    queue = aws.sqs.Queue(
        f"{name}-dead-letters",
        name=f"{prefix}-{name}-dead-letters",
        message_retention_seconds=1209600,
        sqs_managed_sse_enabled=True,
        tags=tags,
    )
    aws.sqs.QueuePolicy(
        f"{name}-dead-letters-policy",
        queue_url=queue.url,
        policy=policy(
            {
                "Sid": "LeaveEvents",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue.arn,
                "Condition": {"StringEquals": {"aws:SourceAccount": account}},
            },
            refuse_plain_text("sqs:*", queue.arn),
        ),
    )
    return queue


def make_starter(
    name: str, service: str, pipeline: aws.sagemaker.Pipeline, dead_letters: aws.sqs.Queue
) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
    role = aws.iam.Role(f"{name}-role", name=f"{prefix}-{name}", assume_role_policy=trust(service), tags=tags)
    permissions = aws.iam.RolePolicy(
        f"{name}-policy",
        role=role.name,
        policy=policy(
            {
                "Sid": "StartPipeline",
                "Effect": "Allow",
                "Action": "sagemaker:StartPipelineExecution",
                "Resource": pipeline.arn,
            },
            {
                "Sid": "LeaveDeadLetters",
                "Effect": "Allow",
                "Action": "sqs:SendMessage",
                "Resource": dead_letters.arn,
            },
        ),
    )
    return role, permissions


def make_schedule(
    name: str,
    pipeline: aws.sagemaker.Pipeline,
    dead_letters: aws.sqs.Queue,
    expression: str,
    timezone: str,
    description: str,
) -> None:
    starter, permissions = make_starter(f"{name}-schedule", "scheduler.amazonaws.com", pipeline, dead_letters)
    aws.scheduler.Schedule(
        f"{name}-schedule",
        name=f"{prefix}-{name}",
        description=description,
        schedule_expression=expression,
        schedule_expression_timezone=timezone,
        flexible_time_window={"mode": "OFF"},
        target={
            "arn": pipeline.arn,
            "role_arn": starter.arn,
            "sagemaker_pipeline_parameters": {},
            "retry_policy": {"maximum_event_age_in_seconds": 3600, "maximum_retry_attempts": 5},
            "dead_letter_config": {"arn": dead_letters.arn},
        },
        opts=pulumi.ResourceOptions(depends_on=[permissions]),
    )


def make_endpoint(
    model: str, endpoint_name: str, bucket: aws.s3.Bucket, alarms: dict[str, aws.cloudwatch.MetricAlarm]
) -> aws.sagemaker.Endpoint:
    name = f"{model}-endpoint"
    role = aws.iam.Role(
        f"{name}-serve",
        name=f"{endpoint_name}-serve",
        description=f"Serves {endpoint_name}: reads its packages, writes its log and captured traffic.",
        assume_role_policy=trust("sagemaker.amazonaws.com"),
        tags=tags,
    )
    permissions = aws.iam.RolePolicy(
        f"{name}-serve",
        role=role.id,
        policy=policy(
            *read_objects(bucket, "packages/tumours/"),
            write_objects(bucket, f"capture/{endpoint_name}/"),
            write_logs(f"/aws/sagemaker/Endpoints/{endpoint_name}"),
            write_metrics("/aws/sagemaker/Endpoints"),
            *pull_image,
        ),
    )
    paths = {file.relative_to(package).as_posix(): file for file in package_files}
    files = [put(f"{name}-{path}", bucket, package_key + path, file) for path, file in paths.items()]
    manifest = put(f"{name}-manifest", bucket, f"{package_key}manifest.json", package / "manifest.json", [*files])
    serving = aws.sagemaker.Model(
        f"{name}-primary-model",
        execution_role_arn=role.arn,
        primary_container={
            "image": image,
            "environment": {"MODELBERTH_PACKAGE_DIGEST": f"sha256:{digest}"},
            "model_data_source": {
                "s3_data_sources": [
                    {
                        "s3_uri": pulumi.Output.concat("s3://", bucket.id, "/", package_key),
                        "s3_data_type": "S3Prefix",
                        "compression_type": "None",
                    }
                ]
            },
        },
        tags=tags,
        opts=pulumi.ResourceOptions(depends_on=[permissions, manifest]),
    )
    configuration = aws.sagemaker.EndpointConfiguration(
        f"{name}-config",
        production_variants=[
            {
                "variant_name": "primary",
                "model_name": serving.name,
                "instance_type": "ml.c5.large",
                "initial_instance_count": 2,
                "initial_variant_weight": 1.0,
                "container_startup_health_check_timeout_in_seconds": 600,
            }
        ],
        data_capture_config={
            "enable_capture": True,
            "initial_sampling_percentage": 100,
            "destination_s3_uri": pulumi.Output.concat("s3://", bucket.id, "/capture"),
            "capture_options": [{"capture_mode": "Input"}, {"capture_mode": "Output"}],
            "capture_content_type_header": {
                "csv_content_types": ["text/csv"],
                "json_content_types": ["application/json", "application/jsonlines"],
            },
        },
        tags=tags,
    )
    return aws.sagemaker.Endpoint(
        name,
        name=endpoint_name,
        endpoint_config_name=configuration.name,
        deployment_config={
            "blue_green_update_policy": {
                "traffic_routing_configuration": {
                    "type": "CANARY",
                    "canary_size": {"type": "INSTANCE_COUNT", "value": 1},
                    "wait_interval_in_seconds": 300,
                },
                "termination_wait_in_seconds": 0,
                "maximum_execution_timeout_in_seconds": 3600,
            },
            "auto_rollback_configuration": {
                "alarms": [
                    {"alarm_name": alarms["error_rate"].name},
                    {"alarm_name": alarms["latency_p95"].name},
                ]
            },
        },
        tags=tags,
        opts=pulumi.ResourceOptions(depends_on=[permissions]),
    )


def make_retraining(model: str, bucket: aws.s3.Bucket, drift: aws.cloudwatch.MetricAlarm) -> None:
    name = f"{model}-retraining"
    sources, data = f"sources/{model}/{script_key}", f"data/{model}/{table_key}"
    uploaded = [
        put(f"{name}-source", bucket, sources + script.name, script),
        put(f"{name}-data", bucket, data + table.name, table),
    ]
    role = aws.iam.Role(
        f"{name}-job-role",
        name=f"{prefix}-{name}-job",
        assume_role_policy=trust("sagemaker.amazonaws.com"),
        tags=tags,
    )
    kinds = ("sources", "data", "packages", "candidates", "pipelines")
    permissions = aws.iam.RolePolicy(
        f"{name}-job-policy",
        role=role.name,
        policy=policy(
            *run_jobs(role),
            write_logs("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"),
            *pull_image,
            *read_objects(bucket, *(f"{kind}/{model}/" for kind in kinds), package_key),
            write_objects(bucket, *(f"{kind}/{model}/" for kind in ("pipelines", "packages", "candidates"))),
            write_metrics("/aws/sagemaker/TrainingJobs", "/aws/sagemaker/ProcessingJobs"),
        ),
    )
    champion = processing_input("champion", pulumi.Output.concat("s3://", bucket.id, "/", package_key))
    candidate = processing_input("candidate", {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"})
    published = {
        "MODELBERTH_BUCKET": pulumi.Output.concat("s3://", bucket.id),
        "MODELBERTH_MODEL": model,
        "MODELBERTH_EXECUTION": {"Get": "Execution.PipelineExecutionId"},
    }
    pipeline = aws.sagemaker.Pipeline(
        name,
        pipeline_name=f"{prefix}-{name}",
        pipeline_display_name=f"{prefix}-{name}",
        pipeline_description=f"Trains {model} again and publishes a candidate that passes the gate.",
        role_arn=role.arn,
        pipeline_definition=pulumi.Output.json_dumps(
            {
                "Version": "2020-12-01",
                "Metadata": {},
                "Parameters": [],
                "Steps": [
                    {
                        "Name": "Train",
                        "Type": "Training",
                        "Arguments": {
                            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
                            "RoleArn": role.arn,
                            "HyperParameters": {
                                "entrypoint": script.name,
                                "name": model,
                                "parameters": "{}",
                                "timeout_seconds": "14400",
                            },
                            "InputDataConfig": [
                                channel("code", bucket, sources),
                                channel("training", bucket, data),
                                channel("champion", bucket, package_key),
                            ],
                            "OutputDataConfig": {
                                "S3OutputPath": pulumi.Output.concat("s3://", bucket.id, "/pipelines/", model)
                            },
                            "ResourceConfig": {
                                "InstanceType": "ml.c7i.large",
                                "InstanceCount": 1,
                                "VolumeSizeInGB": 30,
                            },
                            "StoppingCondition": {"MaxRuntimeInSeconds": 14400},
                        },
                    },
                    {
                        "Name": "Validate",
                        "Type": "Processing",
                        "Arguments": {
                            **processing_job("validate", role),
                            "ProcessingInputs": [candidate, champion],
                            "ProcessingOutputConfig": {"Outputs": [processing_output("report", bucket, model)]},
                        },
                    },
                    {
                        "Name": "Gate",
                        "Type": "Processing",
                        "Arguments": {
                            **processing_job("gate", role),
                            "ProcessingInputs": [
                                candidate,
                                champion,
                                processing_input(
                                    "report",
                                    {"Get": "Steps.Validate.ProcessingOutputConfig.Outputs['report'].S3Output.S3Uri"},
                                ),
                            ],
                            "ProcessingOutputConfig": {"Outputs": [processing_output("verdict", bucket, model)]},
                            "Environment": {
                                "MODELBERTH_GATE": '{"metrics":{"roc_auc":{"min":0.9}},"no_worse_than":"champion",'
                                '"require":["cross_validation"],"tolerance":0.05}',
                                **published,
                            },
                        },
                    },
                    {
                        "Name": "Publish",
                        "Type": "Processing",
                        "Arguments": {
                            **processing_job("publish", role),
                            "ProcessingInputs": [
                                candidate,
                                champion,
                                processing_input(
                                    "verdict",
                                    {"Get": "Steps.Gate.ProcessingOutputConfig.Outputs['verdict'].S3Output.S3Uri"},
                                ),
                            ],
                            "Environment": published,
                        },
                    },
                ],
            }
        ),
        tags=tags,
        opts=pulumi.ResourceOptions(depends_on=[permissions, *uploaded]),
    )
    dead_letters = make_dead_letters(name)
    make_schedule(
        name,
        pipeline,
        dead_letters,
        "cron(0 3 1 1 ? *)",
        "Europe/Prague",
        f"Trains {model} again and publishes a candidate that passes the gate.",
    )
    rule = aws.cloudwatch.EventRule(
        f"{name}-drift",
        name=f"{prefix}-{name}-drift",
        description=pulumi.Output.concat("Starts a run when ", drift.name, " fires."),
        event_pattern=pulumi.Output.json_dumps(
            {
                "source": ["aws.cloudwatch"],
                "detail-type": ["CloudWatch Alarm State Change"],
                "detail": {"alarmName": [drift.name], "state": {"value": ["ALARM"]}},
            }
        ),
        tags=tags,
    )
    starter, starting = make_starter(f"{name}-drift-rule", "events.amazonaws.com", pipeline, dead_letters)
    aws.cloudwatch.EventTarget(
        f"{name}-drift-target",
        rule=rule.name,
        target_id="retraining",
        arn=pipeline.arn,
        role_arn=starter.arn,
        sagemaker_pipeline_target={},
        retry_policy={"maximum_event_age_in_seconds": 3600, "maximum_retry_attempts": 5},
        dead_letter_config={"arn": dead_letters.arn},
        opts=pulumi.ResourceOptions(depends_on=[starting]),
    )


def channel(name: str, bucket: aws.s3.Bucket, key: str) -> dict[str, object]:
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": pulumi.Output.concat("s3://", bucket.id, "/", key),
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }


def processing_job(command: str, role: aws.iam.Role) -> dict[str, object]:
    return {
        "AppSpecification": {
            "ImageUri": image,
            "ContainerEntrypoint": ["modelberth"],
            "ContainerArguments": ["job", command],
        },
        "RoleArn": role.arn,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.c7i.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }


def processing_input(name: str, address: object) -> dict[str, object]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": address,
            "LocalPath": f"/opt/ml/processing/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }


def processing_output(name: str, bucket: aws.s3.Bucket, model: str) -> dict[str, object]:
    results = pulumi.Output.concat("s3://", bucket.id, "/pipelines/", model)
    address = {"Std:Join": {"On": "/", "Values": [results, {"Get": "Execution.PipelineExecutionId"}, name]}}
    return {
        "OutputName": name,
        "S3Output": {
            "S3Uri": address,
            "LocalPath": f"/opt/ml/processing/{name}",
            "S3UploadMode": "EndOfJob",
        },
    }


for model in config.require_object("models"):
    endpoint_name = f"{prefix}-{model}-endpoint"
    bucket = make_bucket(model)
    alarms = make_alarms(model, endpoint_name)
    make_monitor(model, endpoint_name, bucket)
    endpoint = make_endpoint(model, endpoint_name, bucket, alarms)
    make_retraining(model, bucket, alarms["drift.psi"])
    pulumi.export(
        model,
        {
            "bucket": pulumi.Output.concat("s3://", bucket.id),
            "endpoint": endpoint.name,
            "alarms": {key: alarm.name for key, alarm in alarms.items()},
        },
    )
