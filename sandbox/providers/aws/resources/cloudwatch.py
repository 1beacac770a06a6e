"""CloudWatch: metric alarms, composite alarms and dashboards."""

from __future__ import annotations

from sandbox.providers import schema
from sandbox.providers.aws import convert, enums
from sandbox.providers.aws.cloud import Call, tag_list, tag_map
from sandbox.providers.aws.tags import sync_tags
from sandbox.providers.check import AutoName
from sandbox.providers.resource import Change, Resource, Values

_GONE = ("ResourceNotFound", "ResourceNotFoundException")

_METRIC = "aws:cloudwatch/metricAlarm:MetricAlarm"
_METRIC_NAMES = {
    "name": "AlarmName",
    "okActions": "OKActions",
    "metricQueries": "Metrics",
    "metric": "MetricStat",
    "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
    "tags": "",
}
_MISSING_DATA = ("breaching", "ignore", "missing", "notBreaching")
_METRIC_DEFAULTS = {"actionsEnabled": True, "treatMissingData": "missing"}


def _tags(call: Call, arn: str) -> dict[str, str]:
    return tag_map(call.do("list_tags_for_resource", ResourceARN=arn).get("Tags"))


def _update_tags(call: Call, change: Change) -> None:
    arn = change.old["arn"]
    sync_tags(
        change,
        lambda tags: call.do("tag_resource", ResourceARN=arn, Tags=tag_list(tags)),
        lambda keys: call.do("untag_resource", ResourceARN=arn, TagKeys=keys),
    )


def _metric_parameters(call: Call, values: Values) -> Values:
    inputs = schema.resource(_METRIC).inputs
    plain = {key: value for key, value in values.items() if key != "metricQueries"}
    parameters = convert.to_aws(plain, inputs, call.shape("PutMetricAlarm"), _METRIC_NAMES)
    if values.get("metricQueries"):
        parameters["Metrics"] = [_query(query) for query in values["metricQueries"]]
        for member in ("Period", "Dimensions"):
            parameters.pop(member, None)
    if values.get("thresholdMetricId"):
        parameters.pop("Threshold", None)
    return parameters


def _query(query: Values) -> Values:
    """A metric query: the provider's metric is flat, CloudWatch's is a metric with a statistic."""
    result: Values = {"Id": query["id"], "ReturnData": bool(query.get("returnData"))}
    for name, member in (("accountId", "AccountId"), ("expression", "Expression"), ("label", "Label")):
        if query.get(name):
            result[member] = query[name]
    if query.get("period"):
        result["Period"] = int(query["period"])
    metric = query.get("metric")
    if metric:
        stat: Values = {
            "Metric": {
                "MetricName": metric["metricName"],
                "Dimensions": [
                    {"Name": key, "Value": value} for key, value in (metric.get("dimensions") or {}).items()
                ],
            },
            "Period": int(metric["period"]),
            "Stat": metric["stat"],
        }
        if metric.get("namespace"):
            stat["Metric"]["Namespace"] = metric["namespace"]
        if metric.get("unit"):
            stat["Unit"] = metric["unit"]
        result["MetricStat"] = stat
    return result


def _query_properties(query: Values) -> Values:
    result: Values = {"id": query["Id"], "returnData": bool(query.get("ReturnData"))}
    for name, member in (
        ("accountId", "AccountId"),
        ("expression", "Expression"),
        ("label", "Label"),
        ("period", "Period"),
    ):
        if query.get(member):
            result[name] = query[member]
    stat = query.get("MetricStat")
    if stat:
        metric: Values = {
            "metricName": stat["Metric"]["MetricName"],
            "period": stat["Period"],
            "stat": stat["Stat"],
        }
        if stat["Metric"].get("Namespace"):
            metric["namespace"] = stat["Metric"]["Namespace"]
        if stat["Metric"].get("Dimensions"):
            metric["dimensions"] = {item["Name"]: item["Value"] for item in stat["Metric"]["Dimensions"]}
        if stat.get("Unit"):
            metric["unit"] = stat["Unit"]
        result["metric"] = metric
    return result


def _put_metric_alarm(call: Call, values: Values) -> str:
    parameters = _metric_parameters(call, values)
    if values.get("tagsAll"):
        parameters["Tags"] = tag_list(values["tagsAll"])
    call.do("put_metric_alarm", **parameters)
    return values["name"]


def _read_metric_alarm(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.do("describe_alarms", AlarmNames=[identifier], AlarmTypes=["MetricAlarm"])
    if not answer.get("MetricAlarms"):
        return None
    alarm = answer["MetricAlarms"][0]
    shape = call.shape("DescribeAlarms", output=True).members["MetricAlarms"].member
    inputs = {k: v for k, v in schema.resource(_METRIC).inputs.items() if k != "metricQueries"}
    result: Values = {
        name: None
        for name in inputs
        if name not in ("tags", "region") and convert.has_member(name, shape, _METRIC_NAMES)
    }
    result |= convert.from_aws(alarm, inputs, shape, _METRIC_NAMES)
    # A threshold of nothing is a threshold; so is an empty list of actions to no actions.
    if alarm.get("Threshold") is not None:
        result["threshold"] = alarm["Threshold"]
    result["actionsEnabled"] = bool(alarm.get("ActionsEnabled", True))
    result["treatMissingData"] = alarm.get("TreatMissingData") or "missing"
    result["metricQueries"] = [_query_properties(query) for query in alarm.get("Metrics") or []] or None
    arn = alarm["AlarmArn"]
    return result | {"arn": arn, "tagsAll": _tags(call, arn)}


def _update_metric_alarm(call: Call, identifier: str, change: Change) -> None:
    if change.changed - {"tags", "tagsAll"}:
        call.do("put_metric_alarm", **_metric_parameters(call, change.new))
    _update_tags(call, change)


def _delete_alarm(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_alarms", _GONE, AlarmNames=[identifier])


def _verify_metric_alarm(inputs: Values) -> list[tuple[str, str]]:
    operator, statistic = inputs.get("comparisonOperator"), inputs.get("statistic")
    problems = enums.check("comparisonOperator", operator, "cloudwatch", "ComparisonOperator")
    problems += enums.check("statistic", statistic, "cloudwatch", "Statistic")
    missing = inputs.get("treatMissingData")
    if isinstance(missing, str) and missing not in _MISSING_DATA:
        problems.append(("treatMissingData", f'must be one of {", ".join(_MISSING_DATA)}, not "{missing}"'))
    if "metricName" in inputs and "metricQueries" in inputs:
        problems.append(("metricQueries", "conflicts with metricName: give one of them"))
    if "statistic" in inputs and "extendedStatistic" in inputs:
        problems.append(("extendedStatistic", "conflicts with statistic: give one of them"))
    period = inputs.get("period")
    if isinstance(period, int) and period not in (10, 20, 30) and (period < 60 or period % 60):
        problems.append(("period", f"must be 10, 20, 30 or a multiple of 60 seconds, not {period}"))
    periods = inputs.get("evaluationPeriods")
    if isinstance(periods, int) and periods < 1:
        problems.append(("evaluationPeriods", f"must be at least 1, not {periods}"))
    return problems


# Composite alarms

_COMPOSITE = "aws:cloudwatch/compositeAlarm:CompositeAlarm"


def _composite_parameters(values: Values) -> Values:
    parameters: Values = {
        "AlarmName": values["alarmName"],
        "AlarmRule": values["alarmRule"],
        "ActionsEnabled": values.get("actionsEnabled", True),
        "AlarmActions": values.get("alarmActions") or [],
        "OKActions": values.get("okActions") or [],
        "InsufficientDataActions": values.get("insufficientDataActions") or [],
    }
    if values.get("alarmDescription"):
        parameters["AlarmDescription"] = values["alarmDescription"]
    suppressor = values.get("actionsSuppressor")
    if suppressor:
        parameters["ActionsSuppressor"] = suppressor["alarm"]
        parameters["ActionsSuppressorExtensionPeriod"] = suppressor["extensionPeriod"]
        parameters["ActionsSuppressorWaitPeriod"] = suppressor["waitPeriod"]
    return parameters


def _put_composite(call: Call, values: Values) -> str:
    parameters = _composite_parameters(values)
    if values.get("tagsAll"):
        parameters["Tags"] = tag_list(values["tagsAll"])
    call.do("put_composite_alarm", **parameters)
    return values["alarmName"]


def _read_composite(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.do("describe_alarms", AlarmNames=[identifier], AlarmTypes=["CompositeAlarm"])
    if not answer.get("CompositeAlarms"):
        return None
    alarm = answer["CompositeAlarms"][0]
    arn = alarm["AlarmArn"]
    suppressor = None
    if alarm.get("ActionsSuppressor"):
        suppressor = {
            "alarm": alarm["ActionsSuppressor"],
            "extensionPeriod": alarm.get("ActionsSuppressorExtensionPeriod", 0),
            "waitPeriod": alarm.get("ActionsSuppressorWaitPeriod", 0),
        }
    return {
        "alarmName": alarm["AlarmName"],
        "alarmRule": alarm["AlarmRule"],
        "alarmDescription": alarm.get("AlarmDescription") or None,
        "actionsEnabled": bool(alarm.get("ActionsEnabled", True)),
        "alarmActions": alarm.get("AlarmActions") or None,
        "okActions": alarm.get("OKActions") or None,
        "insufficientDataActions": alarm.get("InsufficientDataActions") or None,
        "actionsSuppressor": suppressor,
        "arn": arn,
        "tagsAll": _tags(call, arn),
    }


def _update_composite(call: Call, identifier: str, change: Change) -> None:
    if change.changed - {"tags", "tagsAll"}:
        call.do("put_composite_alarm", **_composite_parameters(change.new))
    _update_tags(call, change)


# Dashboards


def _put_dashboard(call: Call, values: Values) -> str:
    call.do("put_dashboard", DashboardName=values["dashboardName"], DashboardBody=values["dashboardBody"])
    return values["dashboardName"]


def _read_dashboard(call: Call, identifier: str, state: Values) -> Values | None:
    answer = call.find("get_dashboard", _GONE, DashboardName=identifier)
    if answer is None:
        return None
    return {
        "dashboardName": answer.get("DashboardName") or identifier,
        "dashboardBody": answer["DashboardBody"],
        "dashboardArn": answer.get("DashboardArn"),
    }


def _update_dashboard(call: Call, identifier: str, change: Change) -> None:
    _put_dashboard(call, change.new)


def _delete_dashboard(call: Call, identifier: str, state: Values) -> None:
    call.remove("delete_dashboards", (*_GONE, "DashboardNotFoundError"), DashboardNames=[identifier])


_ACTIONS = frozenset({"alarmActions", "okActions", "insufficientDataActions"})

RESOURCES = (
    Resource(
        token=_METRIC,
        service="cloudwatch",
        create=_put_metric_alarm,
        read=_read_metric_alarm,
        update=_update_metric_alarm,
        delete=_delete_alarm,
        force_new=frozenset({"name"}),
        auto_name=AutoName(),
        computed=frozenset({"evaluateLowSampleCountPercentiles"}),
        sets=_ACTIONS | {"metricQueries"},
        defaults=_METRIC_DEFAULTS,
        verify=_verify_metric_alarm,
    ),
    Resource(
        token=_COMPOSITE,
        service="cloudwatch",
        create=_put_composite,
        read=_read_composite,
        update=_update_composite,
        delete=_delete_alarm,
        force_new=frozenset({"alarmName", "actionsEnabled"}),
        sets=_ACTIONS,
        defaults={"actionsEnabled": True},
    ),
    Resource(
        token="aws:cloudwatch/dashboard:Dashboard",
        service="cloudwatch",
        create=_put_dashboard,
        read=_read_dashboard,
        update=_update_dashboard,
        delete=_delete_dashboard,
        force_new=frozenset({"dashboardName"}),
        json=frozenset({"dashboardBody"}),
    ),
)
