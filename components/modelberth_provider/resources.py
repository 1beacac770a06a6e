"""All resources of the plugin."""

from modelberth_provider.replica import Replica
from modelberth_provider.vertex.deployed_model import DeployedModel
from modelberth_provider.vertex.model import Model

RESOURCES = (Model(), DeployedModel(), Replica())
