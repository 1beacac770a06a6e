"""A program with 35 objects of the kinds that the platform uses, and a Secret that was there before."""

import pulumi
import pulumi_kubernetes as kubernetes

config = pulumi.Config()
size, edition = config.get_int("size") or 1, config.get("edition") or "one"
namespace = kubernetes.core.v1.Namespace(
    "space", metadata={"labels": {"pod-security.kubernetes.io/warn": "restricted"}}
)
inside = {"namespace": namespace.metadata.name}
labels = {"app": "server"}
skip = {"pulumi.com/skipAwait": "true"}
pods = {
    "metadata": {"labels": labels},
    "spec": {"containers": [{"name": "main", "image": "registry.invalid/none:1"}]},
}
for index in range(15):
    kubernetes.core.v1.ConfigMap(f"map-{index}", metadata=inside, data={"edition": edition if index == 0 else "same"})
for index in range(6):
    kubernetes.core.v1.Secret(f"secret-{index}", metadata=inside, string_data={"word": f"hush-{index}"})
account = kubernetes.core.v1.ServiceAccount("account", metadata=inside)
role = kubernetes.rbac.v1.Role(
    "role", metadata=inside, rules=[{"api_groups": [""], "resources": ["pods"], "verbs": ["get"]}]
)
kubernetes.rbac.v1.RoleBinding(
    "binding",
    metadata=inside,
    role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata.name},
    subjects=[
        {"kind": "ServiceAccount", "name": account.metadata.name, "namespace": namespace.metadata.name},
    ],
)
server = kubernetes.apps.v1.Deployment(
    "server",
    metadata={**inside, "annotations": skip},
    spec={"replicas": size, "selector": {"match_labels": labels}, "template": pods},
)
kubernetes.core.v1.Service(
    "service", metadata={**inside, "annotations": skip}, spec={"selector": labels, "ports": [{"port": 80}]}
)
kubernetes.policy.v1.PodDisruptionBudget(
    "budget", metadata=inside, spec={"min_available": 1, "selector": {"match_labels": labels}}
)
kubernetes.autoscaling.v2.HorizontalPodAutoscaler(
    "scaler",
    metadata=inside,
    spec={
        "max_replicas": size + 1,
        "scale_target_ref": {"api_version": "apps/v1", "kind": "Deployment", "name": "absent"},
    },
)
kubernetes.networking.v1.NetworkPolicy(
    "policy", metadata=inside, spec={"pod_selector": {"match_labels": labels}, "policy_types": ["Ingress"]}
)
once = {"containers": pods["spec"]["containers"], "restart_policy": "Never"}
kubernetes.batch.v1.Job(
    "job",
    metadata={"name": "fixed", **inside, "annotations": skip},
    spec={"template": {"metadata": {"labels": {"edition": edition}}, "spec": once}},
)
kubernetes.batch.v1.CronJob(
    "timer", metadata=inside, spec={"schedule": "0 3 * * *", "job_template": {"spec": {"template": {"spec": once}}}}
)
quota = kubernetes.core.v1.ResourceQuota("quota", metadata=inside, spec={"hard": {"pods": "20"}})
schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
definition = kubernetes.apiextensions.v1.CustomResourceDefinition(
    "definition",
    metadata={"name": "gauges.example.com"},
    spec={
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "gauges", "singular": "gauge", "kind": "Gauge"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"open_apiv3_schema": schema}}],
    },
)
kubernetes.apiextensions.CustomResource(
    "gauge",
    api_version="example.com/v1",
    kind="Gauge",
    metadata=inside,
    spec={"size": size},
    opts=pulumi.ResourceOptions(depends_on=[definition]),
)
if there := config.get("there"):
    kubernetes.core.v1.Secret.get("there", there)
pulumi.export("namespace", namespace.metadata.name)
pulumi.export("deployment", server.metadata.name)
