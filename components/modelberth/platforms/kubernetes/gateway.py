"""A way in by the Gateway API: an HTTPRoute from a Gateway that is there to the endpoint's Services.

It also shares requests between variants by their weights and copies them to a shadow, which no Service can.
Source: the Gateway API's reference and specification, gateway.networking.k8s.io/v1, "HTTPRoute", "Gateway" and
"Conditions".
"""

import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import AfterValidator

from ...errors import SpecificationError
from ...spec import Spec
from . import objects, values

GROUP = "gateway.networking.k8s.io"
_VERSION = f"{GROUP}/v1"
_ACCEPTED_SECONDS = 180
_DEFAULT_PORTS = {"http": 80, "https": 443}


def _check_path(value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value) or {".", ".."} & set(value.split("/")):
        raise ValueError(
            "is no path that a route can begin with: write one such as /models/churn, without a slash at its end, or "
            "leave it out for the whole host"
        )
    return value


class GatewayOptions(Spec):
    """`endpoint.kubernetes.gateway`: an address from outside by the Gateway API. Variants and a shadow need one."""

    name: values.ObjectName
    """The Gateway, which is there already and lets HTTPRoutes of the endpoint's namespace attach."""
    namespace: values.Namespace
    """Where the Gateway is."""
    section_name: values.ObjectName | None = None
    """Its listener; every one that takes the host if left out."""
    host: values.Host
    """The host name that requests are sent to."""
    path: Annotated[str, AfterValidator(_check_path)] | None = None
    """What the paths of requests begin with, if the host is shared, such as /models/churn; the server does not see
    it."""


class Gateway(pulumi.CustomResource):
    """A Gateway that is there, read from the cluster also at preview.

    Where there is none, the engine itself ends the program: `resource 'edge/shared' does not exist`.
    """

    spec: pulumi.Output[Any]
    status: pulumi.Output[Any]

    def __init__(self, name: str, options: GatewayOptions, opts: pulumi.ResourceOptions) -> None:
        # The SDK's own class for objects of any kind keeps nothing of what it reads.
        found = pulumi.ResourceOptions(
            id=f"{options.namespace}/{options.name}", version=importlib.metadata.version("pulumi-kubernetes")
        )
        super().__init__(f"kubernetes:{_VERSION}:Gateway", name, {"spec": None, "status": None}, opts.merge(found))


def address(gateway: Gateway, options: GatewayOptions, place: pulumi.Output[str]) -> pulumi.Output[str]:
    """Return the endpoint's address, without a path's end.

    The output fails with a SpecificationError that tells why the Gateway would take no route of the endpoint.

    Args:
        gateway: The Gateway.
        options: What was asked for.
        place: The namespace of the endpoint.
    """

    async def found() -> str:
        spec, status, inside = await gateway.spec.future(), await gateway.status.future(), await place.future()
        if spec is None:
            # A preview that can't ask the cluster; most of what is shown then is unknown.
            return _url({"protocol": "HTTP", "port": 80}, options)
        # The namespace is not known at the preview of the first `up`, where the cluster names it.
        listener, problems = judge(spec, status or {}, options, inside)
        if problems:
            raise SpecificationError(*problems)
        return _url(listener, options)

    return pulumi.Output.from_input(found())


def judge(
    spec: Mapping[str, Any], status: Mapping[str, Any], options: GatewayOptions, namespace: str | None
) -> tuple[Mapping[str, Any], list[str]]:
    """Return the listener that takes the route, and what keeps the Gateway from taking it.

    Args:
        spec: The Gateway's.
        status: The Gateway's.
        options: What was asked for.
        namespace: That of the endpoint; None where it is not known yet, and then not judged.
    """
    named = f"the Gateway {options.namespace}/{options.name}"
    problems: list[str] = []
    accepted = _condition(status, "Accepted")
    if accepted.get("status") != "True":
        why = f"{accepted.get('reason', 'Pending')}: {accepted.get('message', 'nothing has answered')}"
        problems.append(
            f"{named} is not accepted by a controller ({why}): see that the controller of its GatewayClass "
            f"{spec.get('gatewayClassName')} runs"
        )
    listeners = cast(list[dict[str, Any]], spec.get("listeners") or [])
    chosen = [one for one in listeners if options.section_name in (None, one["name"])]
    if not chosen:
        names = ", ".join(str(one["name"]) for one in listeners) or "none"
        problems.append(f"{named} has no listener {options.section_name!r}; section_name can be one of: {names}")
        return {}, problems
    refused = {str(one["name"]): _refusal(one, options, namespace) for one in chosen}
    taking = [one for one in chosen if not refused[one["name"]]]
    if not taking:
        problems += [f"{named} takes no route at its listener {name}: {why}" for name, why in refused.items()]
    # Of several the one with a certificate is what people should be told of.
    taking.sort(key=lambda one: one["protocol"] != "HTTPS")
    return (taking or chosen)[0], problems


def _refusal(listener: Mapping[str, Any], options: GatewayOptions, namespace: str | None) -> str:
    """Why a listener takes no such route; nothing where it does."""
    protocol, wanted = listener["protocol"], listener.get("hostname")
    if protocol not in ("HTTP", "HTTPS"):
        return f"its protocol is {protocol}, and the endpoint is reached by HTTP or HTTPS"
    allowed = cast(dict[str, Any], listener.get("allowedRoutes") or {})
    kinds = cast(list[dict[str, Any]], allowed.get("kinds") or [])
    if kinds and not any(one["kind"] == "HTTPRoute" and one.get("group", GROUP) == GROUP for one in kinds):
        return f"allowedRoutes.kinds lets in {', '.join(str(one['kind']) for one in kinds)}, and no HTTPRoute"
    if wanted and not _matches(options.host, wanted):
        return f"its hostname is {wanted}, which {options.host!r} does not match"
    # By a selector it depends on the labels of a namespace that may not be there yet: the Gateway answers that.
    origin = str(cast(dict[str, Any], allowed.get("namespaces") or {}).get("from", "Same"))
    if origin == "None" or (origin == "Same" and namespace not in (None, options.namespace)):
        return (
            f"allowedRoutes.namespaces.from is {origin}, and the endpoint is in the namespace "
            f"{namespace or 'of its own'}: set it to All, or to Selector with a label of that namespace"
        )
    return ""


def _matches(host: str, wanted: str) -> bool:
    """Whether a host is what a listener's `hostname` says, which may begin with `*.` for one label or more."""
    return host == wanted or (wanted.startswith("*.") and host.endswith(wanted[1:]))


def _condition(status: Mapping[str, Any], name: str) -> dict[str, Any]:
    conditions = cast(list[dict[str, Any]], status.get("conditions") or [])
    return next((one for one in conditions if one.get("type") == name), dict[str, Any]())


def _url(listener: Mapping[str, Any], options: GatewayOptions) -> str:
    scheme, port = str(listener["protocol"]).lower(), round(listener["port"])
    shown = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    return f"{scheme}://{options.host}{shown}{options.path or ''}"


def route(
    name: str,
    described: kubernetes.meta.v1.ObjectMetaArgsDict,
    options: GatewayOptions,
    weights: Sequence[tuple[pulumi.Input[str], int]],
    shadow: pulumi.Input[str] | None,
    taken: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
) -> kubernetes.apiextensions.CustomResource:
    """Make the HTTPRoute; it is ready when the Gateway has accepted it and found the Services.

    Args:
        name: The resource's name.
        described: Its metadata.
        options: What was asked for.
        weights: The Services that answer, each with its share in percent.
        shadow: The Service that gets a copy of each request.
        taken: Known once the Gateway was judged.
        opts: The resource's options.
    """
    filters: list[dict[str, Any]] = []
    if options.path is not None:
        rewritten = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
        filters.append({"type": "URLRewrite", "urlRewrite": {"path": rewritten}})
    if shadow is not None:
        filters.append({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": shadow, "port": 80}}})
    parent = {"group": GROUP, "kind": "Gateway", "namespace": options.namespace, "name": options.name}
    if options.section_name is not None:
        parent["sectionName"] = options.section_name
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": options.path or "/"}}],
        "backendRefs": [{"name": service, "port": 80, "weight": weight} for service, weight in weights],
    }
    if filters:
        rule["filters"] = filters
    return kubernetes.apiextensions.CustomResource(
        name,
        api_version=_VERSION,
        kind="HTTPRoute",
        metadata=objects.annotated(described, {"pulumi.com/waitFor": _WAITS}),
        spec=taken.apply(
            lambda _: pulumi.Output.from_input({"parentRefs": [parent], "hostnames": [options.host], "rules": [rule]})
        ),
        opts=opts.merge(
            pulumi.ResourceOptions(
                custom_timeouts=pulumi.CustomTimeouts(create=f"{_ACCEPTED_SECONDS}s", update=f"{_ACCEPTED_SECONDS}s")
            )
        ),
    )


# What a route's status says is said for each of its parents, of which it has one.
_WAITS = json.dumps(
    [
        f'jsonpath={{.status.parents[*].conditions[?(@.type=="{name}")].status}}=True'
        for name in ("Accepted", "ResolvedRefs")
    ]
)
