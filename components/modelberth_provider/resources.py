"""All resources of the plugin."""

from modelberth_provider.vertex.model import Model

RESOURCES = (Model(),)
