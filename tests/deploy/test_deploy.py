"""Manifests and compose file against schemas, each other and cleaved itself.

Kubernetes' own kinds are held against its published schemas (PyPI's
kubernetes-validate), the compose file against compose-spec. For the kinds of
KEDA, the Prometheus operator and KServe, custom_resources.json lists the fields
that we use; CLEAVE_CRDS=FOLDER holds them against real definitions, too, one
YAML file each, as `kubectl get crd -o yaml NAME` prints them.

Needs CLEAVE_BIN, the folder of the program cleaved.
"""

import copy
import functools
import json
import os
import pathlib
import re
import subprocess

import compose_spec
import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
COMPOSE = OPS / "compose/compose.yaml"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
# It would read some megabytes for each of hundreds of questions.
kubernetes_validate.utils.schema_contents = functools.cache(
    kubernetes_validate.utils.schema_contents
)
OURS = json.loads((pathlib.Path(__file__).parent / "custom_resources.json").read_text())


def manifests(name: str = "*") -> list[dict]:
    """The documents of ops/kubernetes/NAME.yaml."""
    files = sorted((OPS / "kubernetes").glob(f"{name}.yaml"))
    return [doc for file in files for doc in yaml.safe_load_all(file.read_text())]


def of_kind(kind: str) -> dict:
    return next(doc for doc in manifests() if doc["kind"] == kind)


def is_custom(doc: dict) -> bool:
    return crd_key(doc) in OURS


def crd_key(doc: dict) -> str:
    group, _, version = doc["apiVersion"].rpartition("/")
    return f"{doc['kind'].lower()}s.{group}/{version}"


def closed(schema: dict) -> dict:
    """`schema` with nothing allowed but the properties that it names, as
    Kubernetes itself refuses or drops unknown fields."""
    made = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: closed(each) for name, each in value.items()}
        else:
            made[key] = closed(value) if isinstance(value, dict) else value
    if "properties" in schema and "additionalProperties" not in schema:
        made |= {"type": "object", "additionalProperties": False}
    if "items" in schema:
        made["type"] = "array"
    return made


def core_parts(doc: dict) -> list[dict]:
    """What a custom resource has of Kubernetes' own, as documents of it."""
    spec, meta = doc["spec"], {"name": "part"}
    if doc["kind"] == "ServingRuntime":
        pod = {"containers": spec["containers"]}
        return [{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod}]
    if doc["kind"] == "PodMonitor":
        budget = {"selector": spec["selector"]}
        return [
            {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
             "metadata": meta, "spec": budget}
        ]  # fmt: skip
    if doc["kind"] == "ScaledObject":
        config = spec["advanced"]["horizontalPodAutoscalerConfig"]
        scaler = {"scaleTargetRef": {"kind": "Deployment", "name": "x"}, "maxReplicas": 2}
        return [
            {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
             "metadata": meta, "spec": scaler | config}
        ]  # fmt: skip
    return []


def check(doc: dict, versions: tuple[str, ...] = VERSIONS) -> None:
    """Raises jsonschema.ValidationError if `doc` breaks its schema."""
    for each in core_parts(doc) if is_custom(doc) else [doc]:
        for version in versions:
            kubernetes_validate.validate(each, version, strict=True)
    if is_custom(doc):
        assert set(doc) == {"apiVersion", "kind", "metadata", "spec"}
        jsonschema.validate(doc["spec"], closed(OURS[crd_key(doc)]))


def paths_of(node, path=()):
    """The path to every key of the mappings in `node`."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(node, dict):
            yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths_of(value, (*path, key))


def misspelt(doc: dict, path: tuple) -> dict:
    made = copy.deepcopy(doc)
    node = made
    for key in path[:-1]:
        node = node[key]
    node[path[-1] + "x"] = node.pop(path[-1])
    return made


def name_of(doc: dict) -> str:
    return f"{doc['kind']}-{doc['metadata']['name']}"


@pytest.mark.parametrize("doc", manifests(), ids=name_of)
def test_manifest_is_valid(doc):
    check(doc)


@pytest.mark.parametrize("doc", manifests(), ids=name_of)
def test_misspelt_fields_are_refused(doc):
    """So the check above can fail: at each key that is not free text."""
    free = {"matchLabels", "labels", "annotations", "requests", "limits", "metadata"}
    paths = [
        path
        for path in paths_of(doc["spec"], ("spec",))
        if not free & set(path[:-1]) and not (path[-2:-1] == ("selector",) and len(path) == 3)
    ]
    assert paths
    for path in paths:
        with pytest.raises((jsonschema.ValidationError, KeyError)):
            check(misspelt(doc, path), VERSIONS[-1:])
            pytest.fail(f"nobody minds {'.'.join(map(str, path))}x")


@pytest.mark.skipif("CLEAVE_CRDS" not in os.environ, reason="CLEAVE_CRDS is not set")
@pytest.mark.parametrize("doc", [each for each in manifests() if is_custom(each)], ids=name_of)
def test_custom_resource_fits_its_definition(doc):
    for file in pathlib.Path(os.environ["CLEAVE_CRDS"]).glob("*.y*ml"):
        crd = yaml.safe_load(file.read_text())
        for version in crd["spec"]["versions"]:
            if f"{crd['metadata']['name']}/{version['name']}" == crd_key(doc):
                schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
                jsonschema.validate(doc["spec"], closed(schema))
                return
    pytest.fail(f"no definition of {crd_key(doc)}")


def test_parts_speak_of_the_same_pods():
    deployment = of_kind("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("Service")["spec"]["selector"] == labels
    assert of_kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        assert of_kind(kind)["spec"]["selector"]["matchLabels"] == labels
    # The job of the alerts and of the dashboard.
    assert labels[of_kind("PodMonitor")["spec"]["jobLabel"]] == "cleave"
    scaled = of_kind("ScaledObject")["spec"]["scaleTargetRef"]["name"]
    assert scaled == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    runtime = of_kind("InferenceService")["spec"]["predictor"]["model"]["runtime"]
    assert runtime == of_kind("ServingRuntime")["metadata"]["name"]


def containers() -> list[tuple[dict, dict]]:
    """Each container with its pod's spec."""
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    runtime = of_kind("ServingRuntime")["spec"]
    return [(each, spec) for spec in (pod, runtime) for each in spec["containers"]]


def test_pods_are_restricted():
    """Kubernetes' Pod Security Standard "restricted", and a read-only root."""
    for container, pod in containers():
        have = pod.get("securityContext", {}) | container["securityContext"]
        assert have["runAsNonRoot"] is True and have["runAsUser"] > 0
        assert have["seccompProfile"]["type"] == "RuntimeDefault"
        assert have["allowPrivilegeEscalation"] is False
        assert have["capabilities"] == {"drop": ["ALL"]}
        assert have["readOnlyRootFilesystem"] is True
        assert not have.get("privileged")


def test_probes_ask_paths_that_there_are():
    paths = yaml.safe_load((ROOT / "openapi.yaml").read_text())["paths"]
    for container, _ in containers():
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["path"] in paths
    for monitored in of_kind("PodMonitor")["spec"]["podMetricsEndpoints"]:
        assert monitored["path"] in paths


def test_scaling_asks_for_metrics_that_there_are():
    query = of_kind("ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    dashboard = (OPS / "grafana/cleave.json").read_text()
    names = re.findall(r"cleave_\w+", query)
    assert names and all(name in dashboard for name in names)


def test_alerts_are_those_of_prometheus(tmp_path):
    made = tmp_path / "alerts.yaml"
    subprocess.run([OPS / "kubernetes/make-alerts", made], check=True)
    assert made.read_text() == (OPS / "kubernetes/alerts.yaml").read_text()
    rules = yaml.safe_load((OPS / "prometheus/cleave.rules.yml").read_text())
    assert of_kind("PrometheusRule")["spec"] == rules


def settings(environment: dict[str, str]) -> dict:
    """What cleaved makes of an environment."""
    done = subprocess.run(
        [pathlib.Path(os.environ["CLEAVE_BIN"]) / "cleaved", "--check-config",
         "--model", ROOT / "tests/data/tiny.safetensors"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_cleaved_understands_its_settings():
    given = [compose()["services"]["cleaved-1"]["environment"]]
    for container, _ in containers():
        given.append({each["name"]: each.get("value", "2") for each in container["env"]})
    for environment in given:
        found = settings(environment)
        for name, value in environment.items():
            assert str(found[name.removeprefix("CLEAVE_").lower()]) == value
    for argument in of_kind("ServingRuntime")["spec"]["containers"][0]["args"]:
        name = argument.partition("=")[0].removeprefix("--").replace("-", "_")
        assert name in settings({})


def compose(text: str | None = None) -> dict:
    """The compose file, or `text`, validated."""
    text = text or COMPOSE.read_text()
    merged = yaml.safe_load(text)
    compose_spec.PyCompose.from_json(json.dumps(merged)).validate()
    return merged


def test_compose_file_is_valid():
    services = compose()["services"]
    assert set(services) == {
        *(f"cleaved-{i}" for i in (1, 2, 3)), "haproxy", "prometheus", "grafana",
    }  # fmt: skip
    for service in services.values():
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (COMPOSE.parent / source).is_file(), source
            else:
                assert source in compose()["volumes"]
        for name in service.get("depends_on", []):
            assert name in services
    build = services["cleaved-1"]["build"]
    assert (COMPOSE.parent / build["context"] / build["dockerfile"]).is_file()


@pytest.mark.parametrize(
    "right, wrong",
    [("cpus: 2.0", "cpus: two"), ("stop_grace_period: 15s", "stop_grace_period: 15 parsecs"),
     ("read_only:", "reed_only:"), ("depends_on:", "depends_upon:")],
)  # fmt: skip
def test_wrong_compose_files_are_refused(right, wrong):
    text = COMPOSE.read_text()
    assert right in text
    with pytest.raises(ValueError):
        compose(text.replace(right, wrong))


def test_haproxy_and_prometheus_name_the_replicas():
    replicas = {f"{name}:8080" for name in compose()["services"] if "cleaved" in name}
    proxy = (OPS / "haproxy/haproxy.cfg").read_text()
    assert set(re.findall(r"^ *server \S+ (\S+)$", proxy, re.M)) == replicas
    scraped = yaml.safe_load((OPS / "compose/prometheus.yml").read_text())
    job = next(each for each in scraped["scrape_configs"] if each["job_name"] == "cleave")
    assert set(job["static_configs"][0]["targets"]) == replicas


def test_image_is_confined_and_checks_itself():
    text = (ROOT / "docker/cleaved.Dockerfile").read_text().replace("\\\n", " ")
    stage = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER 65532", stage, re.M)
    check_by = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", stage, re.M)[1]
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", stage, re.M)[1]
    assert json.loads(check_by) == [*json.loads(entry), "--healthcheck"]
    # What the check is to know stands in the environment.
    listen = dict(re.findall(r"^ENV (\w+)=(\S+)$", stage, re.M))
    assert settings(listen)["listen"] == "0.0.0.0:8080"
