"""A Kubernetes endpoint: what runs in the cluster, how an update reaches the traffic, who may do what."""

import json
import re
from typing import Any

import pytest
from modelberth import ModelDeployment, ModelEndpoint, SpecificationError
from modelberth.names import physical_name

from model_packaging.jobs.rollout import Settings
from model_packaging.package import Package
from tests.unit.components.cloud import Deployed
from tests.unit.components.cluster import IMAGE, SECRETS, WATCHED, deployment, model, planned, pods_of, variables

LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def endpoint(package: Package, **args: Any) -> Deployed:
    common = {"platform": "kubernetes", "package": package, "image": IMAGE, "bucket": "s3://models"}
    return planned(lambda: ModelEndpoint("churn", common | args))


def wrong(package: Package, **args: Any) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        endpoint(package, **args)
    return caught.value.problems


def serving(deployed: Deployed) -> dict[str, Any]:
    """The container that serves."""
    (container,) = deployed.one("apps/v1:Deployment").inputs["spec"]["template"]["spec"]["containers"]
    return container


def test_another_package_is_another_deployment_behind_the_same_service(original: Package, candidate: Package) -> None:
    before, after = endpoint(original), endpoint(candidate)
    again = endpoint(original)
    names = [one.one("apps/v1:Deployment").inputs["metadata"]["name"] for one in (before, after, again)]
    assert names[0] == names[2] != names[1]
    assert all(name.startswith("shop-dev-churn-") for name in names)
    assert before.one("apps/v1:Deployment").name == again.one("apps/v1:Deployment").name
    assert before.one("apps/v1:Deployment").name != after.one("apps/v1:Deployment").name
    services = [one.one("core/v1:Service") for one in (before, after)]
    assert services[0].inputs == services[1].inputs
    assert services[0].inputs["metadata"]["name"] == "shop-dev-churn"


@pytest.mark.parametrize(
    "change",
    [
        {"image": "registry.example.org/modelberth:2"},
        {"compute": {"cpu": 2}},
        {"capture": {"sample": 1}},
        {"kubernetes": {"accelerators": {"nvidia.com/gpu": 1}}},
        {"kubernetes": {"startup_timeout_seconds": 60}},
    ],
)
def test_whatever_changes_a_replica_makes_another_deployment(change: dict[str, Any], original: Package) -> None:
    before, after = endpoint(original), endpoint(original, **change)
    assert before.one("apps/v1:Deployment").name != after.one("apps/v1:Deployment").name
    assert before.one("batch/v1:Job").name != after.one("batch/v1:Job").name


def test_how_many_replicas_run_is_the_rollouts_to_say(original: Package) -> None:
    before, after = endpoint(original), endpoint(original, scale={"min": 3})
    for deployed in (before, after):
        assert "replicas" not in deployed.one("apps/v1:Deployment").inputs["spec"]
    assert before.one("apps/v1:Deployment").inputs == after.one("apps/v1:Deployment").inputs
    assert before.one("batch/v1:Job").name != after.one("batch/v1:Job").name


def test_the_service_selects_every_revision_and_each_deployment_only_its_own(original: Package) -> None:
    deployed = endpoint(original)
    selector = deployed.one("core/v1:Service").inputs["spec"]["selector"]
    spec = deployed.one("apps/v1:Deployment").inputs["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()
    assert "modelberth/revision" not in selector
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert spec["selector"]["matchLabels"]["modelberth/revision"] == labels["modelberth/revision"]
    assert deployed.one("core/v1:Service").inputs["spec"]["ports"] == [
        {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}
    ]
    # The pods of the rollout are none of the endpoint's.
    (job,) = deployed.of("batch/v1:Job")
    assert not selector.items() <= job.inputs["spec"]["template"]["metadata"]["labels"].items()


def test_the_package_is_fetched_by_its_digest_before_the_server_starts(original: Package) -> None:
    pod = endpoint(original).one("apps/v1:Deployment").inputs["spec"]["template"]["spec"]
    (fetch,), (serve,) = pod["initContainers"], pod["containers"]
    where = f"s3://models/packages/churn/{original.digest.removeprefix('sha256:')}@{original.digest}"
    assert [*fetch["command"], *fetch["args"]] == ["modelberth", "pull", where, "/model/package"]
    assert [*serve["command"], *serve["args"]] == ["modelberth", "serve", "/model/package", "--port", "8080"]
    for container in (fetch, serve):
        assert container["envFrom"] == [{"secretRef": {"name": "models"}}]
        assert {"name": "model", "mountPath": "/model"} in container["volumeMounts"]
    assert variables(serve)["MODELBERTH_PACKAGE_DIGEST"] == original.digest


def test_probes_ask_what_they_are_for(original: Package) -> None:
    container = serving(endpoint(original, kubernetes={"startup_timeout_seconds": 120}))
    assert container["startupProbe"]["httpGet"] == {"path": "/ping", "port": 8080}
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] == 120
    assert container["readinessProbe"]["httpGet"] == {"path": "/ping", "port": 8080}
    assert container["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": 8080}


def test_a_replica_has_the_time_to_drain(original: Package) -> None:
    pod = endpoint(original).one("apps/v1:Deployment").inputs["spec"]["template"]["spec"]
    told = variables(pod["containers"][0])
    drain = int(told["MODELBERTH_DRAIN_DELAY_SECONDS"]) + int(told["MODELBERTH_DRAIN_SECONDS"])
    assert 0 < drain < pod["terminationGracePeriodSeconds"]
    strategy = endpoint(original).one("apps/v1:Deployment").inputs["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_resources_are_asked_for_and_all_but_processors_limited(original: Package) -> None:
    container = serving(
        endpoint(original, compute={"cpu": 1.5, "memory": "4Gi"}, kubernetes={"accelerators": {"nvidia.com/gpu": 2}})
    )
    limits = {"memory": str(4 * 1024**3), "nvidia.com/gpu": "2"}
    assert container["resources"] == {"requests": limits | {"cpu": "1500m"}, "limits": limits}


def test_every_pod_is_restricted(original: Package, source: Any) -> None:
    """Pod Security Standards, "Restricted"; and, beyond it, nothing can be written but scratch folders."""
    retraining = {"schedule": "0 3 * * 1", "source": source, "entrypoint": "train.py", "on": ["drift"]}
    pods = pods_of(deployment(original, retraining=retraining))
    assert len(pods) == 5
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        assert all(volume.keys() <= {"name", "emptyDir", "secret"} for volume in pod["volumes"]), name
        assert pod["enableServiceLinks"] is False, name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }, name
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
            assert container["resources"]["limits"].keys() >= {"memory"}, name
            assert {"name": "scratch", "mountPath": "/tmp"} in container["volumeMounts"], name


def test_only_who_talks_to_the_cluster_gets_a_token(original: Package, source: Any) -> None:
    retraining = {"schedule": "0 3 * * 1", "source": source, "entrypoint": "train.py", "on": ["drift"]}
    deployed = deployment(original, retraining=retraining)
    tokens = {name: pod["automountServiceAccountToken"] for name, pod in pods_of(deployed).items()}
    assert {name for name, given in tokens.items() if given} == {
        deployed.one("batch/v1:Job").name,
        "churn-retraining-drift",
    }
    for account in deployed.of("core/v1:ServiceAccount"):
        assert account.inputs["automountServiceAccountToken"] is False
    accounts = [pod["serviceAccountName"] for pod in pods_of(deployed).values()]
    assert len(set(accounts)) == len(accounts)


def test_nothing_is_captured_unless_asked(original: Package) -> None:
    assert not {name for name in variables(serving(endpoint(original))) if "CAPTURE" in name}
    captured = variables(serving(endpoint(original, capture={"sample": "12.5%"})))
    assert captured["MODELBERTH_CAPTURE_URL"] == "s3://models/capture/shop-dev-churn"
    assert captured["MODELBERTH_CAPTURE_SAMPLE"] == "12.5"


def test_no_secret_is_written_into_an_object(original: Package) -> None:
    """But into the Secret: pods take it from there by name."""
    for one in deployment(original).children:
        if not one.type.endswith(":Secret"):
            assert "not to be seen" not in json.dumps(one.inputs, default=str), one.name


def test_the_rollout_gets_settings_that_it_understands(original: Package) -> None:
    deployed = endpoint(
        original,
        scale={"min": 4},
        rollout={"canary": "25%", "bake": "10m"},
        rollback_alarms=["slow", "late"],
        kubernetes=WATCHED | {"startup_timeout_seconds": 90},
    )
    job = deployed.one("batch/v1:Job")
    (container,) = job.inputs["spec"]["template"]["spec"]["containers"]
    assert [*container["command"], *container["args"]] == ["modelberth", "rollout"]
    assert Settings.from_environment(variables(container)) == Settings(
        deployment=deployed.one("apps/v1:Deployment").inputs["metadata"]["name"],
        endpoint="shop-dev-churn",
        replicas=4,
        canary=0.25,
        bake_seconds=600,
        ready_seconds=90,
        prometheus="http://prometheus.monitoring.svc:9090",
        alarms=("slow", "late"),
        record="shop-dev-churn-rollout",
    )
    # Twice the bake time and the time to start, and something beside.
    assert job.inputs["spec"]["activeDeadlineSeconds"] > 2 * (600 + 90)
    assert set(job.request.dependencies) >= {
        deployed.one("apps/v1:Deployment").urn,
        deployed.one("rbac.authorization.k8s.io/v1:RoleBinding").urn,
    }


def test_a_verdict_of_the_rollout_is_final_and_a_lost_pod_is_not(original: Package) -> None:
    spec = endpoint(original).one("batch/v1:Job").inputs["spec"]
    verdict, lost = spec["podFailurePolicy"]["rules"]
    assert verdict == {
        "action": "FailJob",
        "onExitCodes": {"containerName": "rollout", "operator": "In", "values": [1, 3]},
    }
    assert lost == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_the_rollout_may_scale_and_look_and_nothing_else(original: Package) -> None:
    deployed = endpoint(original)
    role = deployed.one("rbac.authorization.k8s.io/v1:Role").inputs
    may = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert may == {
        ("apps", "deployments", "get"),
        ("apps", "deployments", "list"),
        ("apps", "deployments/scale", "get"),
        ("apps", "deployments/scale", "patch"),
        ("", "pods", "list"),
        ("", "pods/log", "get"),
        ("", "configmaps", "get"),
        ("", "configmaps", "patch"),
    }
    (record,) = (rule for rule in role["rules"] if rule["resources"] == ["configmaps"])
    assert record["resourceNames"] == ["shop-dev-churn-rollout"]
    binding = deployed.one("rbac.authorization.k8s.io/v1:RoleBinding").inputs
    account = deployed.one("batch/v1:Job").inputs["spec"]["template"]["spec"]["serviceAccountName"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "default"}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_at_most_one_replica_is_taken_away_at_a_time(original: Package) -> None:
    deployed = endpoint(original)
    spec = deployed.one("policy/v1:PodDisruptionBudget").inputs["spec"]
    assert spec["maxUnavailable"] == 1
    assert spec["selector"]["matchLabels"] == deployed.one("core/v1:Service").inputs["spec"]["selector"]


def test_replicas_follow_the_load_once_the_rollout_is_over(original: Package, candidate: Package) -> None:
    assert endpoint(original).of("autoscaling/v2:HorizontalPodAutoscaler") == []
    deployed = endpoint(original, scale={"min": 2, "max": 5}, kubernetes={"cpu_target": 60})
    scaler = deployed.one("autoscaling/v2:HorizontalPodAutoscaler")
    spec = scaler.inputs["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert spec["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": deployed.one("apps/v1:Deployment").inputs["metadata"]["name"],
    }
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 60}
    assert deployed.one("batch/v1:Job").urn in scaler.request.dependencies
    others = [
        endpoint(package, scale={"min": 2, "max": 5}, **more).one("autoscaling/v2:HorizontalPodAutoscaler").name
        for package, more in ((candidate, {}), (original, {"compute": {"cpu": 2}}))
    ]
    # The old one goes with the old Deployment, after the new one is there.
    assert len({scaler.name, *others}) == 3


def test_an_ingress_only_where_asked(original: Package) -> None:
    inside = endpoint(original)
    assert inside.of("networking.k8s.io/v1:Ingress") == []
    assert inside.outputs[inside.made[0].urn]["url"] == "http://shop-dev-churn.default.svc/invocations"
    options = {"ingress": {"host": "churn.example.org", "class_name": "nginx", "tls_secret": "churn-tls"}}
    outside = endpoint(original, kubernetes=options)
    ingress = outside.one("networking.k8s.io/v1:Ingress").inputs["spec"]
    assert ingress["ingressClassName"] == "nginx"
    assert ingress["tls"] == [{"hosts": ["churn.example.org"], "secretName": "churn-tls"}]
    (path,) = ingress["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "shop-dev-churn", "port": {"name": "http"}}
    assert outside.outputs[outside.made[0].urn]["url"] == "https://churn.example.org/invocations"


def test_an_invoke_command_that_needs_only_kubectl(original: Package) -> None:
    outputs = endpoint(original).outputs
    (own,) = [one for one in outputs.values() if "invoke_command" in one]
    assert own["invoke_command"] == (
        "kubectl create --raw /api/v1/namespaces/default/services/shop-dev-churn:http/proxy/invocations -f request.json"
    )


def test_the_service_is_protected_but_in_development(original: Package) -> None:
    assert endpoint(original).one("core/v1:Service").request.protect is True
    assert endpoint(original, development=True).one("core/v1:Service").request.protect is False


def test_no_name_is_longer_than_kubernetes_allows(
    original: Package, source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "a-name-of-forty-characters-is-the-longes"
    retraining = {"schedule": "0 3 * * 1", "source": source, "entrypoint": "train.py", "on": ["drift"]}
    args = model(original, retraining=retraining, endpoint={"capture": {}, "scale": {"min": 1, "max": 3}})

    def program() -> None:
        # What they are called is known only with the stack's name.
        secret = f"{physical_name(name)}/{physical_name(f'{name}-bucket')}"
        monkeypatch.setitem(SECRETS, secret, SECRETS["storage/objects"])
        ModelDeployment(name, args)

    deployed = planned(program, stack="an-extraordinarily-long-name-of-a-stack")
    longest = {"CronJob": 52, "Service": 63, "Namespace": 63, "Job": 63, "Deployment": 63}
    for one in deployed.children:
        if not one.type.startswith("kubernetes:"):
            continue
        found = one.inputs["metadata"]
        kind = one.type.rpartition(":")[2]
        assert len(found["name"]) <= longest.get(kind, 253), (kind, found["name"])
        assert all(len(value) <= 63 for value in found["labels"].values()), (kind, found["labels"])
        if kind in longest:
            assert LABEL.fullmatch(found["name"]), (kind, found["name"])


def test_tags_become_labels_and_what_is_no_label_an_annotation(original: Package) -> None:
    deployed = endpoint(original, tags={"modelberth:stack": "dev", "owner": "data science", "team": "ml"})
    for one in deployed.children:
        if one.type.startswith("kubernetes:") and "labels" in one.inputs.get("metadata", {}):
            metadata = one.inputs["metadata"]
            assert metadata["labels"]["modelberth/stack"] == "dev"
            assert metadata["labels"]["team"] == "ml"
            assert metadata["annotations"]["owner"] == "data science"
    assert "modelberth/stack" in deployed.one("apps/v1:Deployment").inputs["metadata"]["labels"]


def test_its_pods_reach_the_store_and_nothing_else(original: Package) -> None:
    policy = endpoint(original, kubernetes={"store_port": 9000}).one(
        "networking.k8s.io/v1:NetworkPolicy", "churn-traffic"
    )
    spec = policy.inputs["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 8080}]}]
    dns, store = spec["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert store == {"ports": [{"protocol": "TCP", "port": 9000}]}


def test_callers_outside_the_cluster_are_let_in_by_their_addresses(original: Package) -> None:
    options = {"callers": ["10.1.0.0/16", "192.0.2.7"]}
    policy = endpoint(original, kubernetes=options).one("networking.k8s.io/v1:NetworkPolicy", "churn-traffic")
    (rule,) = policy.inputs["spec"]["ingress"]
    assert rule["from"][1:] == [{"ipBlock": {"cidr": "10.1.0.0/16"}}, {"ipBlock": {"cidr": "192.0.2.7/32"}}]
    assert wrong(original, kubernetes={"callers": ["10.1.0.5/16", "gateway"]}) == [
        "churn.kubernetes.callers.0: '10.1.0.5/16' is no range of addresses: 10.1.0.0/16 is the range that it lies in",
        "churn.kubernetes.callers.1: 'gateway' is no range of addresses, such as 10.1.0.0/16",
    ]


def test_what_plain_workloads_cannot_do(original: Package, candidate: Package) -> None:
    assert wrong(original, rollout={"canary": "10%"}) == [
        "churn.rollout.canary: kubernetes can't give a canary its share of the traffic where one replica runs: a "
        "Service shares requests by replicas, so scale.min must be at least 2; or leave canary out: all traffic then "
        "shifts at once, watched; vertex can"
    ]
    gateway = "name one of yours as endpoint.kubernetes.gateway, with the host that requests are sent to"
    assert wrong(original, shadow=candidate) == [
        "churn.shadow: kubernetes can't copy requests to a shadow without a gateway: a Service copies no requests, but "
        f"a Gateway does: {gateway}; or leave it out; sagemaker can"
    ]
    variants = {"primary": {"weight": 90}, "next": {"package": candidate, "weight": 10}}
    assert wrong(original, variants=variants) == [
        "churn.variants: kubernetes can't share traffic between variants by weight without a gateway: a Service shares "
        f"requests by replicas, not by weight, but a Gateway does: {gateway}; sagemaker or vertex can"
    ]
    assert wrong(original, rollback_alarms=["slow"]) == [
        "churn.kubernetes.prometheus_url: is missing: an update is watched by alarms, and it is Prometheus that knows "
        "which of them fire; write its address as pods reach it"
    ]
