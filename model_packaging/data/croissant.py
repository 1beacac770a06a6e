"""A data version as MLCommons Croissant 1.0, JSON-LD that dataset search engines and loaders read.

Source: the Croissant Format Specification, version 1.0, docs.mlcommons.org/croissant.
"""

from __future__ import annotations

from typing import Any

_TYPES = {"number": "sc:Float", "integer": "sc:Integer", "boolean": "sc:Boolean", "string": "sc:Text"}

_FORMATS = {
    ".csv": "text/csv",
    ".csv.gz": "application/gzip",
    ".parquet": "application/x-parquet",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
}

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification's appendix prescribes."""


def croissant(version: dict[str, Any]) -> dict[str, Any]:
    """The JSON-LD. Its version is the content's digest; fields point into the first file, and where no files are
    listed, as for a table, there are none and the fields stand alone."""
    origin, files = version["origin"], version.get("files", [])
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": version["name"],
        "description": _description(version),
        "version": version["digest"],
        "distribution": [_file(entry, origin, single=len(files) == 1) for entry in files],
    }
    if "://" in origin:
        document["url"] = origin
    if version["time_range"]:
        document["temporalCoverage"] = "/".join(version["time_range"])
    if version.get("parent"):
        document["isBasedOn"] = version["parent"]
    if version["columns"]:
        fields = [_field(name, kind, files) for name, kind in version["columns"].items()]
        document["recordSet"] = [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}]
    return document


def _description(version: dict[str, Any]) -> str:
    rows = "rows not counted" if version["rows"] is None else f"{version['rows']:,} rows"
    return f"{version['name']}: {rows} of {len(version['columns'])} columns, from {version['origin'] or 'a DataFrame'}"


def _file(entry: dict[str, Any], origin: str, *, single: bool) -> dict[str, Any]:
    name = entry["name"]
    address = name
    if "://" in origin:
        address = origin if single and origin.endswith(name) else f"{origin.rstrip('/')}/{name}"
    kind = next((kind for end, kind in _FORMATS.items() if name.endswith(end)), "application/octet-stream")
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": address,
        "contentSize": f"{entry['bytes']} B",
        "encodingFormat": kind,
        "sha256": entry["sha256"],
    }


def _field(name: str, kind: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    field: dict[str, Any] = {"@type": "cr:Field", "@id": f"rows/{name}", "name": name}
    field["dataType"] = "sc:Date" if kind.startswith(("date", "timestamp")) else _TYPES.get(kind, "sc:Text")
    if files:
        field["source"] = {"fileObject": {"@id": files[0]["name"]}, "extract": {"column": name}}
    return field
