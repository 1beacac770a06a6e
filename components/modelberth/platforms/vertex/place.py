"""Where a model's resources are on Google Cloud: the project and the region."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from ...spec import Spec
from .values import Location, Project


class PlaceOptions(Spec):
    """What every capability takes under its own `vertex`."""

    project: Project | None = None
    """The project's id; that of the provider, `gcp:project`, if left out."""
    location: Location | None = None
    """The region, such as europe-west4; that of the provider, `gcp:region`, if left out."""


@dataclass(frozen=True)
class Place:
    """Attributes: `project`, the project's id; `location`, the region."""

    project: str
    location: str

    @property
    def parent(self) -> str:
        """The name below which Vertex AI's resources are."""
        return f"projects/{self.project}/locations/{self.location}"


def here(component: pulumi.Resource, options: PlaceOptions) -> pulumi.Output[Place]:
    """Return where a component's resources go: as the options say, or else where its provider makes them.

    Raises:
        pulumi.RunError: neither says it; the text names the keys.
    """
    provider = component.get_provider("gcp:storage/bucket:Bucket")
    explicit = isinstance(provider, gcp.Provider)
    project = options.project or (provider.project if explicit else gcp.config.project)
    location = options.location or (provider.region if explicit else gcp.config.region)
    return pulumi.Output.all(project, location).apply(lambda both: _place(*both))


def _place(project: str | None, location: str | None) -> Place:
    missing = [key for key, value in (("gcp:project", project), ("gcp:region", location)) if not value]
    if project and location:
        return Place(project, location)
    raise pulumi.RunError(
        f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing in the stack's configuration: Vertex "
        "AI's resources lie in a project and a region; write gcp:project: <id> and gcp:region: europe-west4, or "
        "project and location under the model's own vertex key"
    )


def project_number(component: pulumi.Resource, place: pulumi.Output[Place]) -> pulumi.Output[str]:
    """Return the project's number, by which Google names its service agents."""
    found = gcp.organizations.get_project_output(
        project_id=place.apply(lambda at: at.project), opts=pulumi.InvokeOutputOptions(parent=component)
    )
    return found.number
