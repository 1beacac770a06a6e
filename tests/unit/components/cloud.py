"""Pulumi's mocks: an engine that keeps all that it is told; an AWS, a Google Cloud and a cluster that answer what they
have to.

A call that is not foreseen raises. `deploy` returns when everything that the program asked for has been registered,
so that nothing is asserted of a resource that is still on its way.
"""

import asyncio
import base64
import contextvars
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.stack import run_pulumi_func

ACCOUNT, REGION = "123456789012", "eu-central-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0b4f1f52-77ef-4d5a-8f0c-0d1f6b7d3e21"
PROJECT, LOCATION = "acme-shop", "europe-west4"
GCP = {"gcp:project": PROJECT, "gcp:region": LOCATION}
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/modelberth:0.1.0"

FUNCTIONS = {
    "aws:index/getPartition:getPartition": {"partition": "aws", "dnsSuffix": "amazonaws.com"},
    "aws:index/getRegion:getRegion": {"region": REGION},
    "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": ACCOUNT},
    "gcp:organizations/getProject:getProject": {"number": "123456789", "projectId": PROJECT},
}
# Where AWS keeps the name that a user may choose; what has none here is named by its provider.
NAMES = ("name", "bucket", "pipelineName", "dashboardName")


@dataclass(frozen=True)
class Made:
    """A resource as it was registered."""

    type: str
    name: str
    urn: str
    parent: str
    inputs: dict[str, Any]
    request: Any = field(repr=False)

    def json(self, key: str) -> Any:
        """An input that is a JSON document."""
        return json.loads(self.inputs[key])


class Cloud(Mocks):
    """Answers as AWS does: with ARNs, addresses and the names that were left out; with none for what is `new`.

    A cluster answers with its objects, in the namespace `default` where none is told, with the Secrets that are there,
    their data by `<namespace>/<name>`, and with other objects that are there, by `<kind>/<namespace>/<name>`.
    """

    def __init__(
        self,
        *,
        new: bool,
        secrets: Mapping[str, Mapping[str, str]],
        objects: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.new, self.secrets, self.objects = new, secrets, objects
        self.calls: list[MockCallArgs] = []

    def call(self, args: MockCallArgs) -> Any:
        self.calls.append(args)
        if args.token not in FUNCTIONS:
            raise AssertionError(f"unexpected call of {args.token}")
        return FUNCTIONS[args.token]

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.typ.startswith("kubernetes:") and not self.new:
            return self._object(args)
        if args.typ.startswith(("gcp:", "modelberth:vertex:")) and not self.new:
            return self._google(args)
        if not args.typ.startswith("aws:") or self.new:
            return None, dict(args.inputs)
        service, kind = re.fullmatch(r"aws:(\w+)/(\w+):\w+", args.typ).groups()  # pyright: ignore
        name = next((args.inputs[key] for key in NAMES if key in args.inputs), f"{args.name}-1a2b3c4")
        place = f"{REGION}:{ACCOUNT}"
        outputs = {
            "name": name,
            "bucket": name,
            "arn": f"arn:aws:{service}:{place}:{kind}/{name}" if kind != "bucket" else f"arn:aws:s3:::{name}",
            "url": f"https://{service}.{REGION}.amazonaws.com/{ACCOUNT}/{name}",
            "repositoryUrl": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}",
        }
        return name, outputs | args.inputs

    def _google(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        name = args.inputs.get("name") or f"{args.name}-1a2b3c4"
        outputs: dict[str, Any] = {"name": name}
        if args.typ.endswith(":Account"):
            email = f"{args.inputs['accountId']}@{PROJECT}.iam.gserviceaccount.com"
            outputs |= {"name": f"projects/{PROJECT}/serviceAccounts/{email}", "email": email}
            outputs["member"] = f"serviceAccount:{email}"
        if args.typ.endswith(":AiEndpoint") and args.inputs.get("dedicatedEndpointEnabled"):
            outputs["dedicatedEndpointDns"] = f"{name}.{LOCATION}-123456789.prediction.vertexai.goog"
        if args.typ == "modelberth:vertex:Model":
            whole = f"projects/{PROJECT}/locations/{LOCATION}/models/{args.name}"
            outputs = {"name": whole, "versionId": "1", "versionName": f"{whole}@1"}
        return f"{args.name}-id", args.inputs | outputs

    def _object(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        if args.resource_id:
            namespace, _, name = args.resource_id.rpartition("/")
            address = f"{namespace or 'default'}/{name}"
            kind = args.typ.rpartition(":")[2]
            if kind != "Secret":
                if f"{kind}/{address}" not in self.objects:
                    raise KeyError(f'{kind} "{name}" not found')
                return address, dict(self.objects[f"{kind}/{address}"])
            found = self.secrets.get(address)
            if found is None:
                raise KeyError(f'secrets "{name}" not found')
            data = {key: base64.b64encode(value.encode()).decode() for key, value in found.items()}
            return address, {"metadata": {"name": name, "namespace": namespace or "default"}, "data": data}
        told = args.inputs["metadata"]
        place = {} if args.typ.endswith(":Namespace") else {"namespace": "default"}
        metadata = place | told
        return f"{metadata.get('namespace', '')}/{told['name']}".lstrip("/"), args.inputs | {"metadata": metadata}


class Engine(MockMonitor):
    """Keeps every registration, and takes only hooks that it was told of, as the real one does."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.made: list[Made] = []
        self.hooks: set[str] = set()
        self.outputs: dict[str, dict[str, Any]] = {}

    def RegisterErrorHook(self, request: Any) -> Any:
        assert request.name not in self.hooks, f"the hook {request.name} is registered already"
        self.hooks.add(request.name)
        return super().RegisterErrorHook(request)

    def RegisterResource(self, request: Any) -> Any:
        answer = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            assert set(request.hooks.on_error) <= self.hooks, f"{request.name} names hooks that nobody registered"
            assert answer.urn not in {one.urn for one in self.made}, f"two resources have the URN {answer.urn}"
            inputs = rpc.deserialize_properties(request.object)
            self.made.append(Made(request.type, request.name, answer.urn, request.parent, inputs, request))
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:
        self.outputs[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)


@dataclass(frozen=True)
class Deployed:
    """What a program made: `result` is what it returned, `exports` the outputs of the stack."""

    made: list[Made]
    outputs: dict[str, dict[str, Any]]
    calls: list[MockCallArgs]
    result: Any
    exports: dict[str, Any]

    def of(self, token: str) -> list[Made]:
        """All resources of a type, such as `sagemaker/endpoint:Endpoint` or `apps/v1:Deployment`, in the order of their
        names."""
        types = (f"aws:{token}", f"kubernetes:{token}", f"gcp:{token}", f"modelberth:{token}")
        return sorted((one for one in self.made if one.type in types), key=lambda one: one.name)

    def one(self, token: str, name: str | None = None) -> Made:
        """The only resource of a type, or the one of that name."""
        found = [one for one in self.of(token) if name in (None, one.name)]
        assert len(found) == 1, (token, name, [one.name for one in self.of(token)])
        return found[0]

    @property
    def children(self) -> list[Made]:
        """All but components and providers."""
        return [one for one in self.made if one.request.custom and not one.type.startswith("pulumi:providers:")]


def deploy(
    program: Callable[[], Any],
    *,
    preview: bool = False,
    known: bool = False,
    config: Mapping[str, str] | None = None,
    stack: str = "dev",
    made: list[Made] | None = None,
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    objects: Mapping[str, Mapping[str, Any]] | None = None,
) -> Deployed:
    """Run a program against the mocks until everything that it asked for is there.

    Args:
        program: Makes resources; what it returns is resolved if it is an output.
        preview: Whether nothing is made.
        known: Whether a preview finds everything there already, so that it knows what the cloud tells.
        config: The stack's configuration.
        stack: The stack's name.
        made: Where resources are put too, for a program that raises.
        secrets: The data of the cluster's Secrets, by `<namespace>/<name>`.
        objects: Other objects of the cluster, by `<kind>/<namespace>/<name>`.
    """

    def run() -> Deployed:
        cloud = Cloud(new=preview and not known, secrets=secrets or {}, objects=objects or {})
        engine = Engine(cloud)
        if made is not None:
            engine.made = made
        result: list[Any] = []
        exports: dict[str, Any] = {}

        async def main() -> None:
            set_mocks(cloud, project="shop", stack=stack, preview=preview, monitor=engine)
            pulumi.runtime.settings.SETTINGS.outputs.clear()
            pulumi.runtime.set_all_config(dict(config or {}))

            async def resolved() -> None:
                returned = program()
                output = isinstance(returned, pulumi.Output)
                result.append(await returned.future() if output else returned)  # pyright: ignore
                root: Any = pulumi.runtime.get_root_resource()
                exports.update(await pulumi.Output.from_input(root.outputs).future() or {})

            await run_pulumi_func(resolved)

        asyncio.run(main())
        return Deployed(engine.made, engine.outputs, cloud.calls, result[0], exports)

    return contextvars.copy_context().run(run)
