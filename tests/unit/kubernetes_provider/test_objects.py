"""The life of objects of every group that the platform uses, against a real API server."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from kubernetes import client
from modelberth_provider.stubs import provider_pb2
from modelberth_provider.wire import UNKNOWN, encode

from sandbox.kubernetes.control_plane import Cluster

from . import manifests
from .conftest import Engine, Object, failure

SOME, NONE = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
LABELS = {"app": "life"}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "life"}
SKIP = {"pulumi.com/skipAwait": "true"}
LIVES: list[tuple[Object, list[str], Any]] = [
    (
        {"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": True},
        ["automountServiceAccountToken"],
        False,
    ),
    ({"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "3"}}}, ["spec", "hard", "pods"], "4"),
    (manifests.service("life", clusterIP="None"), ["spec", "ports"], [{"port": 81}]),
    (manifests.deployment("life"), ["spec", "replicas"], 2),
    (manifests.job("life", annotations=SKIP), ["spec", "backoffLimit"], 1),
    (
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "spec": {
                "schedule": "0 3 * * *",
                "jobTemplate": {"spec": {"template": {"spec": manifests.pod_spec() | {"restartPolicy": "Never"}}}},
            },
        },
        ["spec", "schedule"],
        "30 3 * * *",
    ),
    (
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        },
        ["rules"],
        [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
    ),
    (
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "roleRef": ROLE,
            "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "default"}],
        },
        ["subjects"],
        [{"kind": "ServiceAccount", "name": "b", "namespace": "default"}],
    ),
    (
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "spec": {"podSelector": {"matchLabels": LABELS}, "policyTypes": ["Ingress"]},
        },
        ["spec", "policyTypes"],
        ["Ingress", "Egress"],
    ),
    (
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "spec": {"selector": {"matchLabels": LABELS}, "minAvailable": 1},
        },
        ["spec", "minAvailable"],
        2,
    ),
    (
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "life"},
                "maxReplicas": 2,
            },
        },
        ["spec", "maxReplicas"],
        3,
    ),
]


def changed(inputs: Object, path: list[str], value: Any) -> Object:
    news = copy.deepcopy(inputs)
    parent = news
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    return news


@pytest.mark.parametrize(("obj", "path", "value"), LIVES, ids=lambda one: one.get("kind") if type(one) is dict else "")
def test_an_object_lives_and_dies(engine: Engine, namespace: str, obj: Object, path: list[str], value: Any) -> None:
    obj = {"metadata": {"name": "life"}, **obj}
    identifier, state, inputs = engine.create(obj)
    assert identifier == f"{namespace}/life"
    assert engine.diff(state, inputs, inputs).changes == NONE
    _, read, read_inputs = engine.read(obj, identifier, state, inputs)
    assert read_inputs == inputs
    assert engine.diff(read, read_inputs, inputs).changes == NONE
    news = changed(inputs, path, value)
    difference = engine.diff(read, inputs, news)
    assert {one.split("[")[0].split(".")[0] for one in difference.detailedDiff} == {path[0]}
    assert not difference.replaces
    after = engine.update(read, inputs, news)
    for step in path:
        after = after[step]
    assert after == value or after[0].items() >= value[0].items()
    _, state, _ = engine.read(obj, identifier, read, news)
    state["__inputs"]["metadata"].pop("annotations", None)  # skipAwait skips the wait for the end too
    engine.delete(obj, identifier, state)
    assert engine.read(obj, identifier, state, news)[0] == ""
    engine.delete(obj, identifier, state)


def test_a_definition_and_its_objects_come_and_go(engine: Engine, namespace: str) -> None:
    crd = manifests.definition("lives", "Life")
    thing = manifests.custom("Life", "one", 1)
    assert engine.create(thing, preview=True)[1]["spec"] == {"size": 1}
    definition_id, definition_state, _ = engine.create(crd)
    identifier, state, inputs = engine.create(thing)
    assert identifier == f"{namespace}/one"
    assert engine.diff(state, inputs, inputs).changes == NONE
    with pytest.raises(grpc.RpcError) as caught:
        engine.update(state, inputs, changed(inputs, ["spec", "size"], 0), preview=True)
    assert "spec.size: Invalid value: 0" in failure(caught)
    assert engine.update(state, inputs, changed(inputs, ["spec", "size"], 2))["spec"] == {"size": 2}
    engine.delete(crd, definition_id, definition_state)
    assert engine.read(thing, identifier, state, inputs)[0] == ""
    engine.delete(thing, identifier, state)


def test_a_kind_that_turns_out_to_be_of_the_whole_cluster_keeps_no_namespace(engine: Engine) -> None:
    crd, thing = manifests.definition("worlds", "World", scope="Cluster"), manifests.custom("World", "one", 1)
    assumed, _ = engine.check(thing)
    assert "namespace" in assumed["metadata"]
    definition_id, definition_state, _ = engine.create(crd)
    request = provider_pb2.CreateRequest(urn=engine.urn(thing), properties=encode(assumed))
    made = engine.stub.Create(request)
    assert made.id == "one"
    known, _ = engine.check(thing, assumed)
    assert "namespace" not in known["metadata"]
    assert engine.diff({}, assumed, known).changes == NONE
    engine.delete(crd, definition_id, definition_state)


def test_an_unknown_definition_is_named_in_the_end(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(manifests.custom("Nothing", "one", 1))
    assert 'no matches for kind "Nothing" in version "example.com/v1"' in failure(caught)


# Names and namespaces


def test_a_name_is_made_kept_and_marked(engine: Engine) -> None:
    first, _ = engine.check(manifests.config_map(a="b"))
    assert first["metadata"]["name"].startswith("thing-")
    assert first["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    older = first | {"metadata": first["metadata"] | {"name": "thing-old"}}
    again, _ = engine.check(manifests.config_map(a="b"), older)
    assert again["metadata"]["name"] == "thing-old"
    difference = engine.diff({}, older, again | {"data": {"a": "c"}})
    assert list(difference.replaces) == ["data"]
    assert not difference.deleteBeforeReplace


def test_the_engines_own_naming_is_followed(engine: Engine) -> None:
    options = provider_pb2.CheckRequest.AutonamingOptions
    proposed, _ = engine.check(manifests.config_map(), autonaming=options(proposed_name="ours", mode=options.ENFORCE))
    assert proposed["metadata"]["name"] == "ours"
    _, problems = engine.check(manifests.config_map(), autonaming=options(mode=options.DISABLE))
    assert "autonaming is disabled" in problems["metadata.name"]


def test_what_cannot_be_made_is_refused_at_once(engine: Engine) -> None:
    _, problems = engine.check(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"generateName": "x-", "annotations": {"pulumi.com/waitFor": "jsonpath={.a[}"}},
        }
    )
    assert problems.keys() == {"metadata.generateName", 'metadata.annotations["pulumi.com/waitFor"]'}
    answer = engine.stub.Check(
        provider_pb2.CheckRequest(
            urn="urn:pulumi:dev::project::kubernetes:core/v1:NamespacePatch::x",
            news=encode({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}),
        )
    )
    assert "no Patch resources" in answer.failures[0].reason


def test_namespace_comes_from_the_object_the_setting_or_the_context(
    serve: Callable[..., Engine], cluster: Cluster, tmp_path: Path
) -> None:
    import yaml

    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["contexts"].append(
        {"name": "other", "context": document["contexts"][0]["context"] | {"namespace": "of-context"}}
    )
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(document))

    def placed(obj: Object, **settings: Any) -> str | None:
        return serve(**settings).check(obj)[0]["metadata"].get("namespace")

    config_map, content = manifests.config_map("x"), file.read_text()
    assert placed(config_map, kubeconfig=str(file)) == "default"
    assert placed(config_map, kubeconfig=str(file), context="other") == "of-context"
    assert placed(config_map, kubeconfig=content, context="other", namespace="of-setting") == "of-setting"
    assert placed(config_map, kubeconfig=json.dumps(document), context="other") == "of-context"
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "own"}}
    assert placed(own, kubeconfig=content, namespace="of-setting") == "own"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
    assert placed(namespace, kubeconfig=content, namespace="of-setting") is None


def test_another_cluster_replaces_the_provider(engine: Engine, cluster: Cluster) -> None:
    content = cluster.kubeconfig.read_text()

    def replaces(old: Object, new: Object) -> list[str]:
        request = provider_pb2.DiffRequest(old_inputs=encode(old), news=encode(new))
        return list(engine.stub.DiffConfig(request).replaces)

    elsewhere = content.replace(cluster.server, "https://127.0.0.1:1")
    assert replaces({"kubeconfig": content}, {"kubeconfig": elsewhere}) == ["kubeconfig"]
    assert replaces({"kubeconfig": content}, {"kubeconfig": str(cluster.kubeconfig)}) == []
    same = {"clusterIdentifier": "one"}
    assert replaces({"kubeconfig": content} | same, {"kubeconfig": elsewhere} | same) == []
    assert replaces({"kubeconfig": content}, {"kubeconfig": UNKNOWN}) == ["kubeconfig"]


# Replacement


@pytest.mark.parametrize(
    ("obj", "path", "value"),
    [
        (manifests.deployment("r"), ["spec", "selector", "matchLabels"], {"app": "other"}),
        (manifests.job("r"), ["spec", "template", "spec", "containers"], [{"name": "main", "image": "other"}]),
        (manifests.config_map("r", a="b"), ["data", "a"], "c"),
        (manifests.secret("r", a="b"), ["stringData", "a"], "c"),
        (manifests.service("r"), ["spec", "clusterIP"], "None"),
        (manifests.config_map("r", a="b"), ["metadata", "name"], "s"),
    ],
    ids=["selector", "template", "config", "secret", "address", "name"],
)
def test_what_cannot_change_is_replaced(engine: Engine, obj: Object, path: list[str], value: Any) -> None:
    olds, _ = engine.check(obj)
    difference = engine.diff({}, olds, changed(olds, path, value))
    assert list(difference.replaces) == [path[0]]
    assert difference.deleteBeforeReplace == (path[-1] != "name")
    assert {one.kind for one in difference.detailedDiff.values()} <= {
        provider_pb2.PropertyDiff.UPDATE_REPLACE,
        provider_pb2.PropertyDiff.ADD_REPLACE,
        provider_pb2.PropertyDiff.DELETE_REPLACE,
    }


def test_data_changes_in_place_where_the_provider_says_so(serve: Callable[..., Engine], cluster: Cluster) -> None:
    lenient = serve(kubeconfig=str(cluster.kubeconfig), enableConfigMapMutable="true", enableSecretMutable=True)
    for obj, path in ((manifests.config_map("r", a="b"), "data"), (manifests.secret("r", a="b"), "stringData")):
        olds, _ = lenient.check(obj)
        assert not lenient.diff({}, olds, changed(olds, [path, "a"], "c")).replaces
        frozen = olds | {"immutable": True}
        assert list(lenient.diff({}, frozen, changed(frozen, [path, "a"], "c")).replaces) == [path]


def test_a_replacement_by_the_same_name_passes_its_preview(engine: Engine) -> None:
    job = manifests.job("again", annotations=SKIP)
    engine.create(job)
    other = changed(job, ["spec", "template", "spec", "containers"], [{"name": "main", "image": "other"}])
    assert engine.create(other, preview=True)[1]["spec"]["template"]["spec"]["containers"][0]["image"] == "other"


# What exists already


def test_an_object_that_exists_is_not_taken_over(
    engine: Engine, serve: Callable[..., Engine], cluster: Cluster, api: client.ApiClient, namespace: str
) -> None:
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="theirs"), data={"a": "theirs"})
    client.CoreV1Api(api).create_namespaced_config_map(namespace, body)
    ours = manifests.config_map("theirs", b="ours")
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(ours)
    assert "ConfigMap" in failure(caught) and "already exists in the cluster" in failure(caught)
    assert client.CoreV1Api(api).read_namespaced_config_map("theirs", namespace).data == {"a": "theirs"}
    willing = serve(kubeconfig=str(cluster.kubeconfig), namespace=namespace, upsertExistingObjects="true")
    assert willing.create(ours)[1]["data"] == {"a": "theirs", "b": "ours"}


def test_a_creation_that_was_interrupted_goes_on_with_its_own_object(engine: Engine) -> None:
    first = engine.create(manifests.config_map("ours", a="b"))[1]
    assert engine.create(manifests.config_map("ours", a="b"))[1]["metadata"]["uid"] == first["metadata"]["uid"]
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(manifests.config_map("ours", a="b"), name="renamed")
    assert "give it an alias" in failure(caught)


def test_import_gives_inputs_that_differ_in_nothing(engine: Engine, api: client.ApiClient, namespace: str) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":"hush"}', "mine": "kept"}
    body = client.V1Secret(
        metadata=client.V1ObjectMeta(name="found", annotations=annotations), string_data={"a": "hush"}
    )
    client.CoreV1Api(api).create_namespaced_secret(namespace, body)
    obj = {"apiVersion": "v1", "kind": "Secret"}
    request = provider_pb2.ReadRequest(urn=engine.urn(obj), id=f"{namespace}/found")
    answer = engine.stub.Read(request)
    for part in (answer.properties, answer.inputs):
        marked = part.fields["data"].struct_value.fields
        assert marked["4dabf18193072939515e22adb298388d"].string_value == "1b47061264138c4ac30d75fd1eb44270"
        assert "last-applied" not in str(part)
    identifier, state, inputs = engine.read(obj, f"{namespace}/found")
    assert identifier == f"{namespace}/found"
    assert inputs["data"] == {"a": base64.b64encode(b"hush").decode()}
    assert inputs["metadata"]["annotations"] == {"mine": "kept"}
    assert engine.diff(state, inputs, inputs).changes == NONE


def test_a_secrets_text_is_compared_with_its_data(engine: Engine, namespace: str, patch: Callable[..., Object]) -> None:
    identifier, state, inputs = engine.create(manifests.secret("s", a="one", b="two"))
    assert engine.read(inputs, identifier, state, inputs)[2] == inputs
    patch(f"/api/v1/namespaces/{namespace}/secrets/s", {"data": {"a": base64.b64encode(b"other").decode()}})
    _, state, drifted = engine.read(inputs, identifier, state, inputs)
    assert drifted["stringData"] == {"a": "other", "b": "two"}
    assert list(engine.diff(state, drifted, inputs).replaces) == ["stringData"]
