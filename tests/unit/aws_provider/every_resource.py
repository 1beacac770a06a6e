"""A Pulumi program with one of every resource that the provider knows."""

import json

import pulumi
import pulumi_aws as aws

config = pulumi.Config()
revision = config.get("revision") or "one"
account = aws.get_caller_identity().account_id
region = aws.get_region().region


def trust(service: str) -> str:
    document = aws.iam.get_policy_document(
        statements=[{"actions": ["sts:AssumeRole"], "principals": [{"type": "Service", "identifiers": [service]}]}]
    )
    return document.json


key = aws.kms.Key("key", description=f"test {revision}", enable_key_rotation=True, deletion_window_in_days=7)
aws.kms.Alias("key", target_key_id=key.key_id)

bucket = aws.s3.Bucket("Data", force_destroy=True, tags={"revision": revision})
versioning = aws.s3.BucketVersioning("data", bucket=bucket.id, versioning_configuration={"status": "Enabled"})
aws.s3.BucketServerSideEncryptionConfiguration(
    "data",
    bucket=bucket.id,
    rules=[
        {
            "apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms", "kms_master_key_id": key.arn},
            "bucket_key_enabled": True,
        }
    ],
)
aws.s3.BucketPublicAccessBlock("data", bucket=bucket.id, block_public_acls=True, block_public_policy=True)
aws.s3.BucketOwnershipControls("data", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"})
aws.s3.BucketLifecycleConfiguration(
    "data",
    bucket=bucket.id,
    rules=[
        {
            "id": "old",
            "status": "Enabled",
            "filter": {"prefix": "logs/"},
            "noncurrent_version_expiration": {"noncurrent_days": 30},
            "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
        }
    ],
    opts=pulumi.ResourceOptions(depends_on=[versioning]),
)
aws.s3.BucketPolicy(
    "data",
    bucket=bucket.id,
    policy=bucket.arn.apply(
        lambda arn: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                        "Action": ["s3:GetObject"],
                        "Resource": f"{arn}/*",
                    }
                ],
            }
        )
    ),
)
stored = aws.s3.BucketObjectv2(
    "object",
    bucket=bucket.id,
    key="packages/model.txt",
    source=pulumi.StringAsset(f"content {revision}"),
    opts=pulumi.ResourceOptions(depends_on=[versioning]),
)

role = aws.iam.Role("role", assume_role_policy=trust("sagemaker.amazonaws.com"), tags={"revision": revision})
grant = aws.iam.RolePolicy(
    "role",
    role=role.id,
    policy={"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": bucket.arn}]},
)

model = aws.sagemaker.Model(
    "model",
    execution_role_arn=role.arn,
    primary_container={
        "image": f"{account}.dkr.ecr.{region}.amazonaws.com/modelberth:0.1.0",
        "environment": {"REVISION": revision, "TOKEN": pulumi.Output.secret("hush")},
        "model_data_source": {
            "s3_data_sources": [
                {
                    "s3_uri": bucket.bucket.apply(lambda name: f"s3://{name}/packages/"),
                    "s3_data_type": "S3Prefix",
                    "compression_type": "None",
                }
            ]
        },
    },
    opts=pulumi.ResourceOptions(depends_on=[stored, grant]),
)
configuration = aws.sagemaker.EndpointConfiguration(
    "endpoint",
    production_variants=[
        {
            "variant_name": "main",
            "model_name": model.name,
            "initial_instance_count": 1,
            "instance_type": "ml.m5.large",
            "initial_variant_weight": 1,
        }
    ],
    data_capture_config={
        "enable_capture": True,
        "initial_sampling_percentage": 100,
        "destination_s3_uri": bucket.bucket.apply(lambda name: f"s3://{name}/capture"),
        "capture_options": [{"capture_mode": "Input"}, {"capture_mode": "Output"}],
        "capture_content_type_header": {"json_content_types": ["application/json"]},
    },
)
topic = aws.sns.Topic("alarms", display_name="alarms")
aws.sns.TopicPolicy(
    "alarms",
    arn=topic.arn,
    policy=topic.arn.apply(
        lambda arn: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "cloudwatch.amazonaws.com"},
                        "Action": "sns:Publish",
                        "Resource": arn,
                    }
                ],
            }
        )
    ),
)
aws.sns.TopicSubscription("alarms", topic=topic.arn, protocol="email", endpoint="someone@example.com")
alarm = aws.cloudwatch.MetricAlarm(
    "plain",
    comparison_operator="GreaterThanThreshold",
    evaluation_periods=1,
    metric_name="ModelLatency",
    namespace="AWS/SageMaker",
    extended_statistic="p99",
    period=60,
    threshold=1000 if revision == "one" else 0,
    dimensions={"EndpointName": "every", "VariantName": "main"},
    alarm_actions=[topic.arn],
    treat_missing_data="notBreaching",
)
aws.cloudwatch.MetricAlarm(
    "math",
    comparison_operator="GreaterThanOrEqualToThreshold",
    evaluation_periods=2,
    threshold=0.05,
    metric_queries=[
        {"id": "rate", "expression": "errors / MAX([calls, 1])", "label": "Error rate", "return_data": True},
        *(
            {
                "id": name,
                "metric": {
                    "metric_name": metric,
                    "namespace": "AWS/SageMaker",
                    "period": 60,
                    "stat": "Sum",
                    "dimensions": {"EndpointName": "every", "VariantName": "main"},
                },
            }
            for name, metric in (("errors", "Invocation5XXErrors"), ("calls", "Invocations"))
        ),
    ],
)
if config.get_bool("emulator"):
    aws.cloudwatch.CompositeAlarm(
        "any", alarm_name="every-any", alarm_rule=alarm.name.apply(lambda name: f'ALARM("{name}")')
    )
endpoint = aws.sagemaker.Endpoint(
    "endpoint",
    name="every",
    endpoint_config_name=configuration.name,
    deployment_config={
        "blue_green_update_policy": {
            "traffic_routing_configuration": {
                "type": "CANARY",
                "wait_interval_in_seconds": 60,
                "canary_size": {"type": "CAPACITY_PERCENT", "value": 50},
            },
            "termination_wait_in_seconds": 0,
        },
        "auto_rollback_configuration": {"alarms": [{"alarm_name": alarm.name}]},
    },
)
target = aws.appautoscaling.Target(
    "endpoint",
    min_capacity=1,
    max_capacity=3,
    resource_id=endpoint.name.apply(lambda name: f"endpoint/{name}/variant/main"),
    scalable_dimension="sagemaker:variant:DesiredInstanceCount",
    service_namespace="sagemaker",
)
aws.appautoscaling.Policy(
    "endpoint",
    policy_type="TargetTrackingScaling",
    resource_id=target.resource_id,
    scalable_dimension=target.scalable_dimension,
    service_namespace=target.service_namespace,
    target_tracking_scaling_policy_configuration={
        "target_value": 70 if revision == "one" else 50,
        "predefined_metric_specification": {"predefined_metric_type": "SageMakerVariantInvocationsPerInstance"},
        "scale_in_cooldown": 300,
    },
)
body = {"widgets": [{"type": "text", "x": 0, "y": 0, "width": 6, "height": 2, "properties": {"markdown": revision}}]}
aws.cloudwatch.Dashboard("every", dashboard_name="every", dashboard_body=json.dumps(body))
aws.cloudwatch.LogGroup("every", name="/every", retention_in_days=14)

pipeline = aws.sagemaker.Pipeline(
    "retrain",
    pipeline_name="every-retrain",
    pipeline_display_name="every-retrain",
    role_arn=role.arn,
    pipeline_definition=json.dumps(
        {
            "Version": "2020-12-01",
            "Parameters": [{"Name": "Reason", "Type": "String", "DefaultValue": revision}],
            "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "stop"}}],
        }
    ),
)
queue = aws.sqs.Queue("dead", message_retention_seconds=1209600, sqs_managed_sse_enabled=True)
aws.sqs.QueuePolicy(
    "dead",
    queue_url=queue.url,
    policy=queue.arn.apply(
        lambda arn: json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": arn,
                    }
                ],
            }
        )
    ),
)
starter = aws.iam.Role(
    "starter", assume_role_policy=trust("scheduler.amazonaws.com"), description=pulumi.Output.secret("hush")
)
aws.scheduler.Schedule(
    "retrain",
    schedule_expression="cron(0 3 ? * MON *)",
    schedule_expression_timezone="Europe/Berlin",
    flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": 15},
    target={
        "arn": pipeline.arn,
        "role_arn": starter.arn,
        "dead_letter_config": {"arn": queue.arn},
        "retry_policy": {"maximum_retry_attempts": 2, "maximum_event_age_in_seconds": 3600},
        "sagemaker_pipeline_parameters": {"pipeline_parameters": [{"name": "Reason", "value": revision}]},
    },
)
rule = aws.cloudwatch.EventRule(
    "drift",
    event_pattern=json.dumps({"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]}),
)
aws.cloudwatch.EventTarget(
    "drift",
    rule=rule.name,
    arn=pipeline.arn,
    role_arn=starter.arn,
    sagemaker_pipeline_target={"pipeline_parameter_lists": [{"name": "Reason", "value": "drift"}]},
    dead_letter_config={"arn": queue.arn},
)
repository = aws.ecr.Repository(
    "images",
    name="every",
    image_tag_mutability="IMMUTABLE",
    image_scanning_configuration={"scan_on_push": True},
    force_delete=True,
)
expiry = {
    "rulePriority": 1,
    "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5},
    "action": {"type": "expire"},
}
aws.ecr.LifecyclePolicy("images", repository=repository.name, policy=json.dumps({"rules": [expiry]}))

pulumi.export("bucket", bucket.bucket)
pulumi.export("configuration", configuration.name)
pulumi.export("object_version", stored.version_id)
pulumi.export("secret", starter.description)
