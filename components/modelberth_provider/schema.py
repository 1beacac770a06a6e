"""The package's schema, by which the engine's tools make SDKs in every language.

Source: Pulumi, "Pulumi package schema".
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from modelberth_provider.google import Json
from modelberth_provider.resource import Part, Resource

PACKAGE = "modelberth"
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}

CONFIG: Json = {
    "project": {"type": "string", "description": "The default project. Else GOOGLE_CLOUD_PROJECT."},
    "location": {"type": "string", "description": "The default region. Else GOOGLE_CLOUD_REGION."},
    "vertexEndpoint": {
        "type": "string",
        "description": "The address of the Vertex AI API instead of the region's own, such as an emulator's. "
        "Else CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM, which gcloud heeds too.",
    },
    "monitoringEndpoint": {
        "type": "string",
        "description": "The address of the Cloud Monitoring API instead of its own, such as an emulator's. "
        "Else CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING.",
    },
    "credentials": {
        "type": "string",
        "secret": True,
        "description": "A credentials file's content or path. Else GOOGLE_CREDENTIALS, or the application's default.",
    },
    "accessToken": {
        "type": "string",
        "secret": True,
        "description": "A token that was issued elsewhere. Else GOOGLE_OAUTH_ACCESS_TOKEN.",
    },
}
"""What the provider is configured with."""


def schema(resources: Iterable[Resource], version: str) -> Json:
    """The schema of a package with these resources."""
    types: Json = {}
    return {
        "name": PACKAGE,
        "displayName": "modelberth",
        "version": version,
        "description": "Models on Vertex AI, packages in several stores, and the check of what an endpoint serves.",
        "keywords": ["pulumi", "vertex-ai", "machine-learning", "category/cloud", "kind/native"],
        "license": "Apache-2.0",
        "config": {"variables": CONFIG},
        "provider": {"inputProperties": CONFIG},
        "resources": {one.token: _resource(one, types) for one in resources},
        "types": types,
        "language": {"nodejs": {"respectSchemaVersion": True}, "python": {"pyproject": {"enabled": True}}},
    }


def _resource(resource: Resource, types: Json) -> Json:
    inputs = _properties(resource.Inputs, resource.token, types)
    outputs = _properties(resource.State, resource.token, types)
    return {
        "description": inspect.getdoc(resource.Inputs),
        "inputProperties": inputs,
        "requiredInputs": _required(resource.Inputs),
        "properties": inputs | outputs,
        "required": _required(resource.Inputs) + _required(resource.State),
    }


def _required(model: type[BaseModel]) -> list[str]:
    return [name for name, info in model.model_fields.items() if info.is_required()]


def _properties(model: type[BaseModel], token: str, types: Json) -> Json:
    return {name: _property(info, token, types) for name, info in model.model_fields.items()}


def _property(info: FieldInfo, token: str, types: Json) -> Json:
    return _type(info.annotation, token, types) | ({"description": info.description} if info.description else {})


def _type(annotation: Any, token: str, types: Json) -> Json:
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = [option for option in get_args(annotation) if option is not type(None)]
    if annotation in _SCALARS:
        return {"type": _SCALARS[annotation]}
    if annotation is Any:
        return {"$ref": "pulumi.json#/Any"}
    arguments = get_args(annotation)
    if get_origin(annotation) is list:
        return {"type": "array", "items": _type(arguments[0], token, types)}
    if get_origin(annotation) is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], token, types)}
    if isinstance(annotation, type) and issubclass(annotation, Part):
        name = f"{token.rpartition(':')[0]}:{annotation.__name__}"
        if name not in types:
            types[name] = {}  # first, so that a type may hold itself
            types[name] = {
                "type": "object",
                "description": inspect.getdoc(annotation),
                "properties": _properties(annotation, token, types),
                "required": _required(annotation),
            }
        return {"$ref": f"#/types/{name}"}
    raise TypeError(f"{token}: the schema has no type for {annotation!r}")
