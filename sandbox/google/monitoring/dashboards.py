"""Dashboards of Cloud Monitoring.

Source: Cloud Monitoring API v1, projects.dashboards (the fields' descriptions of the layouts and tiles, the etag;
validateOnly). Names have the project's number. The texts of refusals are not Google's own words.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from typing import Any

from sandbox.google import api as standard
from sandbox.google.api import Api, Call, Collection, Resource, check_etag
from sandbox.google.errors import GoogleError
from sandbox.google.monitoring.api import refuse
from sandbox.google.monitoring.filters import select
from sandbox.google.store import etag

api = Api("monitoring", "v1", "google.monitoring.dashboard.v1", numbered=True)
PATH = "projects.dashboards"
_LAYOUTS = ("gridLayout", "mosaicLayout", "rowLayout", "columnLayout")


def _check(call: Call, dashboard: Resource) -> None:
    if not dashboard.get("displayName"):
        raise refuse("dashboard.display_name", "", "must be specified.")
    layouts = [one for one in _LAYOUTS if one in dashboard]
    if len(layouts) != 1:
        raise refuse("dashboard.layout", ", ".join(layouts), f"must be exactly one of {', '.join(_LAYOUTS)}.")
    if mosaic := dashboard.get("mosaicLayout"):
        _check_mosaic(mosaic)
    for at, found in _below(dashboard, "dashboard"):
        text = str(found.get("filter", ""))
        if not text:
            raise refuse(f"{at}.filter", "", "must be specified.")
        try:
            select(text)
        except GoogleError as error:
            raise refuse(f"{at}.filter", text, error.message) from error


def _check_mosaic(mosaic: Resource) -> None:
    columns = int(mosaic.get("columns", 0))
    if not 1 <= columns <= 48:
        raise refuse("dashboard.mosaic_layout.columns", columns, "must be between 1 and 48, inclusive.")
    for number, tile in enumerate(mosaic.get("tiles", [])):
        at = f"dashboard.mosaic_layout.tiles[{number}]"
        x, y, width, height = (int(tile.get(key, 0)) for key in ("xPos", "yPos", "width", "height"))
        if width < 1 or height < 1:
            raise refuse(at, f"{width} by {height}", "width and height must be at least 1.")
        if x < 0 or y < 0 or x + width > columns:
            raise refuse(at, f"x {x}, y {y}, width {width}", f"must lie within the {columns} columns.")


def _below(found: Any, at: str) -> Iterator[tuple[str, Resource]]:
    """The filters of time series in a dashboard, and where they are."""
    if isinstance(found, list):
        for number, one in enumerate(found):
            yield from _below(one, f"{at}[{number}]")
    elif isinstance(found, dict):
        for key, one in found.items():
            if key == "timeSeriesFilter":
                yield f"{at}.time_series_filter", one
            else:
                yield from _below(one, f"{at}.{key}")


api.add(Collection(PATH, "dashboard", new_id=lambda *_: str(uuid.uuid4()), check=_check, times=None, has_etag=True))


@api.method(f"{PATH}.create")
def create(call: Call) -> Resource:
    if call.query.get("validateOnly"):
        _check(call, call.body)
        return copy.deepcopy(call.body)
    return standard.create(call)


@api.method(f"{PATH}.patch")
def patch(call: Call) -> Resource:
    """The whole dashboard is replaced: the method has no mask."""
    with call.emulator.store.lock:
        dashboard = call.find()
        check_etag(call, dashboard, call.body.get("etag"))
        changed = {**copy.deepcopy(call.body), "name": dashboard["name"]}
        changed.pop("etag", None)
        _check(call, changed)
        changed["etag"] = etag(changed)
        if not call.query.get("validateOnly"):
            dashboard.clear()
            dashboard.update(changed)
        return copy.deepcopy(changed)
