"""The manifests of contrib/kubernetes: against Kubernetes' schemas, each other, and the server that they start."""
import os
import re
import subprocess

import kubernetes_validate
import pytest
import yaml

from conftest import ROOT

DIRECTORY = ROOT / "contrib/kubernetes"
MANIFESTS = list(yaml.safe_load_all((DIRECTORY / "app.yaml").read_text()))
# The oldest one that is still supported somewhere, and the newest one that the schemas know.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]


def of_kind(kind):
    found, = [manifest for manifest in MANIFESTS if manifest["kind"] == kind]
    return found


POD = of_kind("Deployment")["spec"]["template"]
CONTAINER, = POD["spec"]["containers"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", [manifest["kind"] for manifest in MANIFESTS])
def test_schema(kind, version):
    kubernetes_validate.validate(of_kind(kind), version, strict=True)


def test_the_schemas_would_find_a_mistake():
    wrong = {**of_kind("Service"), "spec": {"port": 80}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_selectors():
    labels = POD["metadata"]["labels"]
    assert of_kind("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("Service")["spec"]["selector"] == labels
    assert of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    scaled = of_kind("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert scaled["name"] == of_kind("Deployment")["metadata"]["name"]


def test_it_keeps_to_the_restricted_standard():
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    pod, container = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] and pod["runAsUser"] > 0 and pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                         "capabilities": {"drop": ["ALL"]}}


def test_the_time_of_a_stop_suffices():
    args = CONTAINER["args"]
    seconds = [float(args[args.index(option) + 1]) for option in ["--stop-delay", "--graceful-timeout"]]
    assert POD["spec"]["terminationGracePeriodSeconds"] >= sum(seconds) + 10
    probe = CONTAINER["readinessProbe"]
    assert "preStop" not in str(POD) and probe["periodSeconds"] * probe["failureThreshold"] <= seconds[0]


@pytest.mark.parametrize("base", ["debian", "python"])
def test_the_user_is_that_of_the_image(base):
    text = (ROOT / "contrib/container" / ("Containerfile." + base)).read_text()
    user = POD["spec"]["securityContext"]
    assert "USER %d:%d" % (user["runAsUser"], user["runAsGroup"]) in text.splitlines()


def test_the_server_takes_the_options(tmp_path):
    """With the variables of the image, too."""
    done = subprocess.run([os.environ["WSGI_FCGI"], *CONTAINER["args"], "--print-config"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env={"WSGI_FCGI_STATUS": "127.0.0.1:9000"})
    assert done.returncode == 0, done.stdout
    assert re.search(r"^status = 0\.0\.0\.0:9000\b", done.stdout, re.M), done.stdout
    assert "127.0.0.1:9000" not in done.stdout, done.stdout
    assert "stop-delay = 10" in done.stdout, done.stdout


def test_ports_and_paths():
    ports = {port["name"]: str(port["containerPort"]) for port in CONTAINER["ports"]}
    args = CONTAINER["args"]
    assert args[args.index("--http") + 1] == ":" + ports["http"]
    assert args[args.index("--status") + 1] == "0.0.0.0:" + ports["status"]
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
        assert CONTAINER[probe]["httpGet"] == {"path": "/?format=health", "port": "status"}
    assert POD["metadata"]["annotations"]["prometheus.io/port"] == ports["status"]


def test_the_metric(tmp_path):
    """The adapter makes the one that the autoscaler asks for, of metrics that the server has."""
    rule, = yaml.safe_load((DIRECTORY / "adapter.yaml").read_text())["rules"]["custom"]
    metric, = of_kind("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert rule["name"]["as"] == metric["pods"]["metric"]["name"]
    manual = (ROOT / "man/wsgi-fcgi.8").read_text()
    names = re.findall(r"wsgi_fcgi_\w+?(?=_(?:sum|count)\{)", rule["metricsQuery"] + rule["seriesQuery"])
    assert names
    for name in names:
        assert name in manual
    query = rule["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="shop"')
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "adapter", "rules": [{"record": "mean", "expr": query}]}]}))
    done = subprocess.run(["promtool", "check", "rules", str(rules)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    assert done.returncode == 0, done.stdout
