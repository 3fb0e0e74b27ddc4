"""The API from outside, over TLS: nginx does with the chart's Ingress what a controller does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kit import pod
from kit.certificates import Authority, authority, identity
from kit.cluster import CHART, CommandFailedError, run
from kit.namespace import Namespace, make_namespace

HOST = "features.example.com"
IMAGE = "streamflow-nginx:bookworm"
DOCKERFILE = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends nginx-light \\
    && rm -rf /var/lib/apt/lists/*
"""
SERVER = """
server {{
    listen 8443 ssl;
    server_name {host};
    ssl_certificate /volume/tls.crt;
    ssl_certificate_key /volume/tls.key;
    location {path} {{
        proxy_pass http://{service}.{namespace}.svc.cluster.local:{port};
        proxy_set_header Host $host;
    }}
}}
"""
CONFIG = """
pid /tmp/nginx.pid;
error_log stderr;
daemon off;
events {{}}
http {{
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {{ listen 8443 ssl default_server; ssl_reject_handshake on; }}
    {servers}
}}
"""
ASK = """
import json, ssl, sys, httpx
at, name, path, trusted = sys.argv[1:]
client = httpx.Client(verify=ssl.create_default_context(cadata=trusted), timeout=10)
try:
    answer = client.get(f"https://{at}:8443{path}", headers={"Host": name},
                        extensions={"sni_hostname": name})
except httpx.ConnectError as error:
    print(json.dumps({"refused": str(error)}))
else:
    print(json.dumps({"status": answer.status_code, "body": answer.json()}))
"""
"""Prints what a client is answered that believes in one authority."""


@pytest.fixture(scope="module")
def ours() -> Authority:
    """The authority that signed the Ingress's certificate."""
    return authority("ours")


@pytest.fixture(scope="module")
def release(sample_release: Namespace, ours: Authority) -> Namespace:
    """A release with an Ingress, whose certificate is in the Secret `public`."""
    presented = identity(ours, HOST)
    files = {"tls.crt": presented.certificate, "tls.key": presented.key}
    literals = [f"--from-literal={name}={text}" for name, text in files.items()]
    sample_release.kubectl("create", "secret", "generic", "public", *literals)
    tls = json.dumps([{"hosts": [HOST], "secretName": "public"}])
    sample_release.helm(
        *("upgrade", "streamflow", str(CHART), "--reuse-values", "--wait", "--timeout", "5m"),
        *("--set", "api.ingress.enabled=true", "--set", f"api.ingress.hosts={{{HOST}}}"),
        *("--set-json", f"api.ingress.tls={tls}"),
    )
    return sample_release


@pytest.fixture(scope="module")
def controller(release: Namespace) -> Iterator[Namespace]:
    """A namespace that may ask the API, with an nginx that serves the Ingress."""
    try:
        run("docker", "build", "--tag", IMAGE, "-", stdin=DOCKERFILE)
    except CommandFailedError as error:
        pytest.skip(f"no image with nginx can be made here: {str(error)[-300:]}")
    release.cluster.load(IMAGE)
    found = make_namespace(release.cluster, release.images, "ingress")
    (ingress,) = json.loads(release.kubectl("get", "ingress", "--output=json"))["items"]
    (tls,) = ingress["spec"]["tls"]
    assert tls["hosts"] == [rule["host"] for rule in ingress["spec"]["rules"]]
    secret = json.loads(release.kubectl("get", "secret", tls["secretName"], "--output=json"))
    secret["metadata"] = {"name": "nginx"}
    found.kubectl("apply", "--filename", "-", stdin=json.dumps(secret))
    config = CONFIG.format(servers="".join(servers(release, ingress)))
    added = json.dumps({"stringData": {"conf": config}})
    found.kubectl("patch", "secret", "nginx", "--patch", added)
    container = {
        "image": IMAGE,
        "command": ["nginx", "-c", "/volume/conf"],
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    }
    made = pod.restricted("nginx", container, {"secret": {"secretName": "nginx"}}, user=33)
    found.kubectl("apply", "--filename", "-", stdin=json.dumps(made))
    found.kubectl("expose", "pod", "nginx", "--port=8443")
    found.ready("pod/nginx")
    found.run_pod("client", "sleep", "600")
    found.ready("pod/client")
    yield found
    found.cluster.kubectl("delete", "namespace", found.name, "--wait=false")


def servers(release: Namespace, ingress: dict[str, Any]) -> list[str]:
    """nginx's servers for the Ingress's rules; a port's name is looked up in its Service."""
    found = []
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            ports = release.get("Service", backend["name"])["spec"]["ports"]
            (port,) = [one["port"] for one in ports if one["name"] == backend["port"]["name"]]
            where = {"service": backend["name"], "namespace": release.name, "port": port}
            found.append(SERVER.format(host=rule["host"], path=path["path"], **where))
    return found


def ask(controller: Namespace, name: str, path: str, trusted: str) -> Any:
    """Asks the Ingress for `path` of host `name`, trusting the CA `trusted`; returns the JSON."""
    return json.loads(controller.python("client", ASK, "nginx", name, path, trusted))


def test_a_client_outside_gets_features_over_tls(
    release: Namespace, controller: Namespace, ours: Authority
) -> None:
    inside = release.ask("/features/0002-ORFBO")
    found = ask(controller, HOST, "/features/0002-ORFBO", ours.certificate)
    assert found["status"] == 200
    assert found["body"]["features"] == inside["features"]
    unknown = ask(controller, HOST, "/features/nobody", ours.certificate)
    assert (unknown["status"], unknown["body"]["status"]) == (404, 404)


def test_another_authority_or_host_is_refused(controller: Namespace, ours: Authority) -> None:
    foreign = ask(controller, HOST, "/livez", authority("foreign").certificate)
    assert "CERTIFICATE_VERIFY_FAILED" in foreign["refused"]
    other = ask(controller, "other.example.com", "/livez", ours.certificate)
    assert "UNRECOGNIZED_NAME" in other["refused"].upper().replace(" ", "_")
