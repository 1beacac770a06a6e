"""Alerting policies: what they may be.

Sources: Cloud Monitoring API v3, projects.alertPolicies (the fields' descriptions; create, patch with and without a
mask), "Create alerting policies by using the API", "Quotas and limits, Limits for alerting". Google's own words, as its
users report them, are those for a filter without a resource type and for a metric that does not exist; those of the
other refusals are not.
"""

from __future__ import annotations

import copy
from typing import Any

from sandbox.google import api as standard
from sandbox.google import masks
from sandbox.google.api import Call, Collection, Resource, random_number
from sandbox.google.errors import GoogleError, invalid
from sandbox.google.monitoring.aggregation import shape
from sandbox.google.monitoring.api import CHANNELS, POLICIES, api, check_user_labels, mutation, refuse, seconds
from sandbox.google.monitoring.descriptors import find_metric, may_exist
from sandbox.google.monitoring.filters import select

MOST_CONDITIONS = 6
LONGEST_SECONDS = 84_600.0
"""23 hours and 30 minutes: the longest retest window with its alignment."""
_KINDS = ("conditionThreshold", "conditionAbsent")
_READ_ONLY = {"name", "creationRecord", "mutationRecord", "validity"}


def _check(call: Call, policy: Resource) -> None:
    at, conditions = "alert_policy", policy.get("conditions", [])
    if not policy.get("displayName"):
        raise refuse(f"{at}.display_name", "", "must be specified.")
    if len(policy["displayName"]) > 512:
        raise refuse(f"{at}.display_name", policy["displayName"], "at most 512 characters are allowed.")
    if not 1 <= len(conditions) <= MOST_CONDITIONS:
        raise refuse(f"{at}.conditions", len(conditions), f"a policy has from 1 to {MOST_CONDITIONS} conditions.")
    if policy.get("combiner", "COMBINE_UNSPECIFIED") == "COMBINE_UNSPECIFIED":
        raise refuse(f"{at}.combiner", "COMBINE_UNSPECIFIED", "must be AND, OR or AND_WITH_MATCHING_RESOURCE.")
    check_user_labels(at, policy.get("userLabels", {}))
    _check_documentation(f"{at}.documentation", policy.get("documentation", {}))
    for number, condition in enumerate(conditions):
        _check_condition(call, f"{at}.conditions[{number}]", condition)
    policy["notificationChannels"] = [call.canonical(one) for one in policy.get("notificationChannels", [])]
    for number, name in enumerate(policy["notificationChannels"]):
        if name not in call.table(CHANNELS):
            raise refuse(f"{at}.notification_channels[{number}]", name, "the notification channel does not exist.")
    if not policy["notificationChannels"]:
        del policy["notificationChannels"]
    _check_strategy(call, f"{at}.alert_strategy", policy)


def _check_documentation(at: str, documentation: Resource) -> None:
    content = documentation.get("content", "")
    if len(content) > 8192 or len(content.encode()) > 10240:
        raise refuse(f"{at}.content", content[:20] + "…", "at most 8,192 characters and 10,240 bytes are allowed.")
    if documentation.get("mimeType", "text/markdown") != "text/markdown":
        raise refuse(f"{at}.mime_type", documentation["mimeType"], 'only "text/markdown" is supported.')
    if len(documentation.get("links", [])) > 3:
        raise refuse(f"{at}.links", len(documentation["links"]), "at most 3 links are allowed.")


def _check_strategy(call: Call, at: str, policy: Resource) -> None:
    strategy = policy.get("alertStrategy", {})
    if strategy.get("autoClose") and seconds(strategy["autoClose"]) < 1800:
        raise refuse(f"{at}.auto_close", strategy["autoClose"], "must be at least 30 minutes.")
    if strategy.get("notificationRateLimit"):
        raise refuse(f"{at}.notification_rate_limit", "", "is for policies with a condition_matched_log only.")
    if unknown := set(strategy.get("notificationPrompts", [])) - {"OPENED", "CLOSED"}:
        raise refuse(f"{at}.notification_prompts", ", ".join(unknown), "can be OPENED or OPENED, CLOSED.")
    for number, one in enumerate(strategy.get("notificationChannelStrategy", [])):
        where = f"{at}.notification_channel_strategy[{number}]"
        if one.get("renotifyInterval") and not 1800 <= seconds(one["renotifyInterval"]) <= 86_400:
            raise refuse(f"{where}.renotify_interval", one["renotifyInterval"], "must be 30 minutes to 24 hours.")
        one["notificationChannelNames"] = [call.canonical(name) for name in one.get("notificationChannelNames", [])]
        for name in one["notificationChannelNames"]:
            if name not in policy.get("notificationChannels", []):
                raise refuse(f"{where}.notification_channel_names", name, "is no notification channel of the policy.")


def _check_condition(call: Call, at: str, condition: Resource) -> None:
    if not condition.get("displayName"):
        raise refuse(f"{at}.display_name", "", "must be specified.")
    kinds = [key for key in condition if key.startswith("condition")]
    if len(kinds) != 1:
        raise refuse(at, ", ".join(kinds), "must have exactly one kind of condition.")
    if kinds[0] not in _KINDS:
        raise GoogleError("UNIMPLEMENTED", f"The sandbox does not evaluate {kinds[0]}: only {' and '.join(_KINDS)}.")
    found = condition[kinds[0]]
    at += ".condition_threshold" if kinds[0] == "conditionThreshold" else ".condition_absent"
    _check_data(call, at, found, "filter", "aggregations")
    _check_window(at, found, absent=kinds[0] == "conditionAbsent")
    trigger = found.get("trigger", {})
    if trigger.get("count", 1) < 1 or not 0 < trigger.get("percent", 100.0) <= 100:
        raise refuse(f"{at}.trigger", trigger, "count must be at least 1, percent above 0 and at most 100.")
    if kinds[0] == "conditionAbsent":
        return
    if found.get("comparison") not in ("COMPARISON_GT", "COMPARISON_LT"):
        raise refuse(
            f"{at}.comparison", found.get("comparison", ""), "only COMPARISON_GT and COMPARISON_LT are supported."
        )
    if found.get("denominatorFilter"):
        _check_data(call, at, found, "denominatorFilter", "denominatorAggregations")
    elif found.get("denominatorAggregations"):
        raise refuse(f"{at}.denominator_aggregations", "", "needs a denominator_filter.")
    if found.get("forecastOptions"):
        raise GoogleError("UNIMPLEMENTED", "The sandbox does not forecast: leave forecastOptions out.")
    missing = found.get("evaluationMissingData", "EVALUATION_MISSING_DATA_UNSPECIFIED")
    if missing != "EVALUATION_MISSING_DATA_UNSPECIFIED" and seconds(found.get("duration")) < 60:
        raise refuse(f"{at}.evaluation_missing_data", missing, "the duration must be at least 60 seconds.")


def _check_window(at: str, found: Resource, *, absent: bool) -> None:
    duration, text = seconds(found.get("duration")), found.get("duration", "")
    if "duration" not in found:
        raise refuse(f"{at}.duration", "", "must be specified.")
    if duration % 60 or (absent and duration < 120):
        least = "a multiple of 60 seconds, and at least 120" if absent else "a multiple of 60 seconds"
        raise refuse(f"{at}.duration", text, f"must be {least}.")
    if duration > LONGEST_SECONDS:
        raise refuse(f"{at}.duration", text, "must be at most 23 hours and 30 minutes.")


def _check_data(call: Call, at: str, found: Resource, filter_name: str, aggregations_name: str) -> None:
    """Refuse a filter and aggregations that select nothing that can be compared with a number."""
    names = {"filter": "filter", "denominatorFilter": "denominator_filter", "aggregations": "aggregations"}
    where = f"{at}.{names[filter_name]}"
    text = str(found.get(filter_name, ""))
    if not text:
        raise refuse(where, "", "must be specified.")
    if len(text) > 2048:
        raise refuse(where, text[:20] + "…", "at most 2,048 characters are allowed.")
    try:
        selection = select(text)
    except GoogleError as error:
        raise refuse(where, text, error.message) from error
    if selection.metric_type is None:
        raise refuse(where, text, 'must specify a restriction on "metric.type" in the filter.')
    if selection.resource_type is None and "resource.type" not in text and "group.id" not in text:
        raise refuse(
            where,
            text,
            'must specify a restriction on "resource.type" in the filter; see '
            '"https://cloud.google.com/monitoring/api/resources" for a list of available resource types.',
        )
    project = call.canonical(call.name).split("/")[1]
    descriptor = find_metric(call.emulator, project, selection.metric_type)
    if descriptor is None and not may_exist(selection.metric_type):
        raise GoogleError(
            "NOT_FOUND",
            f'Cannot find metric that matches type = "{selection.metric_type}". If a metric was created recently, it '
            "could take up to 10 minutes to become available. Please try again soon.",
        )
    kind, value_type = (descriptor["metricKind"], descriptor["valueType"]) if descriptor else (None, None)
    for number, aggregation in enumerate(found.get(aggregations_name, [])):
        there = f"{at}.{'denominator_' if filter_name != 'filter' else ''}aggregations[{number}]"
        kind, value_type = _check_aggregation(there, aggregation, kind, value_type)
    if value_type in ("DISTRIBUTION", "STRING"):
        raise refuse(where, text, f"the aggregated values are of the type {value_type}, which no threshold can be for.")


def _check_aggregation(at: str, aggregation: Resource, kind: Any, value_type: Any) -> tuple[Any, Any]:
    if aggregation.get("perSeriesAligner", "ALIGN_NONE") != "ALIGN_NONE":
        period = seconds(aggregation.get("alignmentPeriod"))
        if period < 60:
            raise refuse(
                f"{at}.alignment_period", aggregation.get("alignmentPeriod", ""), "must be at least 60 seconds."
            )
        if period > 90_000:
            raise refuse(f"{at}.alignment_period", aggregation["alignmentPeriod"], "must be at most 25 hours.")
    if kind is None:
        return kind, value_type
    try:
        return shape(kind, value_type, aggregation)
    except ValueError as error:
        raise refuse(at, aggregation.get("perSeriesAligner", "ALIGN_NONE"), str(error)) from error


def _complete(call: Call, policy: Resource) -> None:
    policy.setdefault("enabled", True)
    policy["mutationRecord"] = mutation(call)
    if call.method.verb == "create":
        policy["creationRecord"] = mutation(call)
    if policy.get("documentation"):
        policy["documentation"].setdefault("mimeType", "text/markdown")
    for condition in policy["conditions"]:
        known = str(condition.get("name", ""))
        if not known.startswith(f"{policy['name']}/conditions/"):
            condition["name"] = f"{policy['name']}/conditions/{random_number(call, policy)}"
        threshold = condition.get("conditionThreshold")
        if threshold is not None:
            threshold.setdefault("thresholdValue", 0.0)


api.add(Collection(POLICIES, "alerting policy", check=_check, complete=_complete, times=None))


@api.method(f"{POLICIES}.create")
def create(call: Call) -> Resource:
    for name in _READ_ONLY:
        call.body.pop(name, None)
    for condition in call.body.get("conditions", []):
        condition.pop("name", None)
    return standard.create(call)


@api.method(f"{POLICIES}.patch")
def patch(call: Call) -> Resource:
    """Without a mask the whole policy is replaced, and keeps its name and the ids of the conditions that are named."""
    schema = str(call.method.request)
    mask = str(call.query.get("updateMask") or "")
    with call.emulator.store.lock:
        policy = call.find()
        given = copy.deepcopy(call.body)
        if mask:
            paths = masks.paths_of(mask, call.api.schemas, schema)
            if fixed := [path[0] for path in paths if path[0] in _READ_ONLY]:
                raise invalid(f"The field(s) {', '.join(fixed)} of an alerting policy cannot be updated.")
            changed = masks.merge(policy, given, paths)
        else:
            changed = {key: value for key, value in given.items() if key not in _READ_ONLY}
            changed |= {key: policy[key] for key in _READ_ONLY if key in policy}
        _check(call, changed)
        _complete(call, changed)
        policy.clear()
        policy.update(changed)
        return copy.deepcopy(policy)
