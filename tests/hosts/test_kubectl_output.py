"""The role's parsing of kubectl's errors, without a host."""

from hosts.test_secrets_made import plugin

kubectl_output = plugin("deploy/filter_plugins/kubectl_output.py")

FILE = "/etc/readmission/deploy/objects.yaml"
IMMUTABLE = 'Service "minio" is invalid: spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set'
SERVICE = f"""\
Error from server (Invalid): error when applying patch:
{{"metadata":{{"annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"c2VjcmV0"}}}}}}
to:
Resource: "/v1, Resource=services", GroupVersionKind: "/v1, Kind=Service"
Name: "minio", Namespace: "readmission-tracking"
for: "{FILE}": error when patching "{FILE}": {IMMUTABLE}
"""
FORBIDDEN = (
    'The PersistentVolumeClaim "airflow-logs" is invalid: spec: Forbidden: spec is immutable after creation '
    "except resources.requests and volumeAttributesClassName for bound claims"
)
CLAIM = f"""\
{FORBIDDEN}
\u00a0\u00a0core.PersistentVolumeClaimSpec{{
- \tAccessModes: {{"ReadWriteOnce"}},
+ \tAccessModes: {{"ReadWriteMany"}},
\u00a0\u00a0}}

"""


def test_a_refusal_is_the_object_and_the_reason():
    assert kubectl_output.kubectl_refusals(SERVICE + CLAIM) == [
        {"object": "service/minio", "says": IMMUTABLE},
        {"object": "persistentvolumeclaim/airflow-logs", "says": FORBIDDEN},
    ]


def test_an_error_without_an_object_stays():
    assert kubectl_output.kubectl_refusals("Warning: old\nerror: the server is away\n") == [
        {"object": "", "says": "the server is away"}
    ]


def test_the_holders_of_a_claim_are_found():
    def deployment(name, *claims):
        volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
        spec = {"template": {"spec": {"volumes": [*volumes, {"name": "tmp", "emptyDir": {}}]}}}
        return {"kind": "Deployment", "metadata": {"name": name}, "spec": spec}

    workloads = {"items": [deployment("scheduler", "logs", "staging"), deployment("feed")]}
    assert kubectl_output.claim_holders(workloads, "staging") == ["deployment/scheduler"]
