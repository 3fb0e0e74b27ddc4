{{/* "true" when flows are served on Prefect's page, else empty. */}}
{{- define "streamflow.flows.on" -}}
{{- if and .Values.prefect.deployments.enabled (include "streamflow.prefect.url" .) -}}true{{- end -}}
{{- end }}

{{/* By database role, which is the container's name: the flows that need it, as options. Each port is one of the pod. */}}
{{- define "streamflow.flows.roles" -}}
trainer: {flows: [training-set], port: 8080}
writer: {flows: [materialize, ingest-month, audit], port: 8081}
{{- end }}

{{/*
A container that serves the flows of a role; training sets are written to the volume, by their names alone. Call with
root, role, flows and port.
*/}}
{{- define "streamflow.flows.container" -}}
{{- $deployments := .root.Values.prefect.deployments -}}
{{- $args := list "serve-flows" -}}
{{- with .root.Values.api.defaultService }}{{ $args = concat $args (list "--service" .) }}{{ end -}}
{{- range .flows }}{{ $args = concat $args (list "--flow" .) }}{{ end -}}
{{- /* Other releases may use the same server, and have deployments of the same flows. */ -}}
{{- if .root.Values.prefect.apiUrl -}}
{{- $args = concat $args (list "--suffix" (printf "%s.%s" .root.Release.Namespace (include "streamflow.fullname" .root))) -}}
{{- end -}}
{{- $container := dict "root" .root "name" .role "args" $args "role" .role "kind" (eq .role "trainer" | ternary "trainingSet" "ingest") "resources" $deployments.resources "env" (include "streamflow.flows.env" .) "envFrom" .root.Values.jobs.ingest.envFrom -}}
{{- if eq .role "trainer" -}}
{{- $_ := set $container "envFrom" .root.Values.jobs.trainingSet.envFrom -}}
{{- $_ := set $container "mounts" (list (dict "name" "training" "mountPath" "/training")) -}}
{{- end -}}
{{- include "streamflow.job.container" $container }}
{{- if eq .role "trainer" }}
workingDir: /training
{{- end }}
startupProbe:
  {{- include "streamflow.flows.probe" (dict "port" .port "path" "health") | nindent 2 }}
  {{- toYaml $deployments.startupProbe | nindent 2 }}
readinessProbe:
  {{- include "streamflow.flows.probe" (dict "port" .port "path" "health") | nindent 2 }}
  {{- toYaml $deployments.readinessProbe | nindent 2 }}
livenessProbe:
  {{- include "streamflow.flows.probe" (dict "port" .port "path" "run_count") | nindent 2 }}
  {{- toYaml $deployments.livenessProbe | nindent 2 }}
{{- end }}

{{/*
Asks Prefect's runner from inside: whoever reached its port from outside could end it. Call with port and path.
*/}}
{{- define "streamflow.flows.probe" -}}
exec:
  command:
    - python
    - -c
    - import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=8)
    - http://127.0.0.1:{{ int .port }}/{{ .path }}
{{- end }}

{{/*
Variables of a container that serves flows. One run at a time, so that memory and connections are known; six polls
that fail, which are half a minute, make it unready. Call as streamflow.flows.container.
*/}}
{{- define "streamflow.flows.env" -}}
- name: PREFECT_HOME
  value: /tmp/prefect-{{ .role }}
- name: PREFECT_RUNNER_PROCESS_LIMIT
  value: "1"
- name: PREFECT_RUNNER_POLL_FREQUENCY
  value: "5"
- name: PREFECT_RUNNER_SERVER_ENABLE
  value: "true"
- name: PREFECT_RUNNER_SERVER_HOST
  value: 127.0.0.1
- name: PREFECT_RUNNER_SERVER_PORT
  value: {{ .port | int | quote }}
# Before the first poll /health answers 500, with a traceback.
- name: PREFECT_RUNNER_SERVER_LOG_LEVEL
  value: CRITICAL
- name: PREFECT_RUNNER_SERVER_MISSED_POLLS_TOLERANCE
  value: "6"
{{- if eq .role "trainer" }}
- name: STREAMFLOW_FETCH_COMMAND
  value: {{ printf "kubectl -n %s exec deploy/%s -c trainer -- \\\n  cat {path} > {name}" .root.Release.Namespace (include "streamflow.flows.name" .root) | quote }}
{{- end }}
{{- end }}
