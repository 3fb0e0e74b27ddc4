{{/*
Who may talk to whom. A part's policy names all that its pods send and receive; with it nothing
else is possible, in or out. Ports are those of the pods, not of the Services before them.
*/}}

{{/*
The NetworkPolicy of a part's pods. Call with root, part, ingress and egress (lists of rules).
*/}}
{{- define "streamflow.network.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include (printf "streamflow.%s.name" .part) .root }}
  labels:
    {{- include "streamflow.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "streamflow.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- /* No empty list: the server keeps none, so that each apply would be a change. */}}
  {{- with .ingress }}
  ingress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .egress }}
  egress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The pods of a part of this release, as a peer. Call with root and part. */}}
{{- define "streamflow.network.pods" -}}
podSelector:
  matchLabels:
    {{- include "streamflow.selectorLabels" . | nindent 4 }}
{{- end }}

{{/*
Rules that let parts of this release, and other peers, reach a port; empty when there is nobody.
Call with root, port, parts (a list) and from (a list of peers).
*/}}
{{- define "streamflow.network.ingress" -}}
{{- $peers := list -}}
{{- range .parts }}
{{- $peers = append $peers (include "streamflow.network.pods" (dict "root" $.root "part" .) | fromYaml) -}}
{{- end -}}
{{- with concat $peers .from }}
- from:
    {{- toYaml . | nindent 4 }}
  ports:
    - port: {{ $.port }}
{{- end }}
{{- end }}

{{/* A rule that lets pods reach a part of this release. Call with root, part and port. */}}
{{- define "streamflow.network.egress" -}}
- to:
    - {{- include "streamflow.network.pods" . | nindent 6 }}
  ports:
    - port: {{ .port }}
{{- end }}

{{/* Rules of all who use the database: resolving names, and PostgreSQL. */}}
{{- define "streamflow.network.database" -}}
{{- with .Values.networkPolicy.dns -}}
- ports:
    - port: {{ .port | int }}
      protocol: UDP
    - port: {{ .port | int }}
      protocol: TCP
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- if not .Values.postgres.external.enabled }}
{{ include "streamflow.network.egress" (dict "root" . "part" "postgres" "port" 5432) }}
{{- else }}
- ports:
    - port: {{ include "streamflow.postgres.port" . }}
    {{- if include "streamflow.postgres.direct" . }}
    - port: {{ .Values.postgres.external.pooler.direct.port | int }}
    {{- end }}
  {{- with .Values.networkPolicy.postgres.cidr }}
  to:
    - ipBlock:
        cidr: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A rule that lets the API's pods read replicas; empty where they read none. */}}
{{- define "streamflow.network.replicas" -}}
{{- if include "streamflow.api.replicas" . -}}
- ports:
    - port: {{ .Values.api.postgres.readPort | int }}
  {{- with .Values.networkPolicy.postgres.cidr }}
  to:
    - ipBlock:
        cidr: {{ . | quote }}
  {{- end }}
{{- end -}}
{{- end }}

{{/*
A rule that lets pods report to Prefect; empty when there is none. Where another server is named,
its port on any host, since a policy knows no names.
*/}}
{{- define "streamflow.network.prefect" -}}
{{- if include "streamflow.prefect.own" . -}}
{{ include "streamflow.network.egress" (dict "root" . "part" "prefect" "port" 4200) }}
{{- else if .Values.prefect.apiUrl -}}
- ports:
    - port: {{ include "streamflow.network.port" .Values.prefect.apiUrl }}
{{- end -}}
{{- end }}

{{/* The port of a URL. */}}
{{- define "streamflow.network.port" -}}
{{- $host := regexReplaceAll "^[a-z]+://([^/]*).*$" . "${1}" -}}
{{- $usual := dict "https" "443" "ssh" "22" -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $host) | default (get $usual (regexFind "^[a-z]+" .) | default "80") -}}
{{- end }}

{{/* A rule that lets pods send spans to their collector; empty when they make none. */}}
{{- define "streamflow.network.tracing" -}}
{{- with .Values.tracing.endpoint -}}
- ports:
    - port: {{ include "streamflow.network.port" . }}
  {{- with $.Values.tracing.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end }}

{{/* A rule that lets pods fetch their definitions from git; empty when none are there. */}}
{{- define "streamflow.network.git" -}}
{{- with .Values.definitions.git -}}
{{- if .repository -}}
- ports:
    - port: {{ include "streamflow.network.port" .repository }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* All URLs that jobs read from or write to, as a list. */}}
{{- define "streamflow.network.urls" -}}
{{- $urls := list -}}
{{- range .Values.jobs.ingest.months }}{{ if eq .source "url" }}{{ $urls = append $urls (.url | default "") }}{{ end }}{{ end -}}
{{- range .Values.jobs.trainingSet.datasets }}{{ $urls = append $urls (.out | default "") }}{{ end -}}
{{- $urls = append $urls .Values.jobs.lake.url -}}
{{- if or (include "streamflow.backup.on" .) .Values.jobs.restore.backup -}}
{{- $urls = append $urls .Values.jobs.backup.to -}}
{{- end -}}
{{- toYaml (without $urls "") -}}
{{- end }}
