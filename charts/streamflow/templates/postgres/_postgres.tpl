{{/* The path of the server's CA in a pod; empty where none is given. */}}
{{- define "streamflow.postgres.ca.path" -}}
{{- with .Values.postgres.external -}}
{{- if and .enabled (or .ca.secret .ca.configMap) -}}
/etc/streamflow/postgres-ca/{{ .ca.key }}
{{- else if .enabled -}}
{{ .ca.path }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The volume with the server's CA; empty where none is needed. */}}
{{- define "streamflow.postgres.ca.volume" -}}
{{- with .Values.postgres.external -}}
{{- if and .enabled .ca.secret -}}
{{ dict "name" "postgres-ca" "secret" (dict "secretName" .ca.secret) | toYaml }}
{{- else if and .enabled .ca.configMap -}}
{{ dict "name" "postgres-ca" "configMap" (dict "name" .ca.configMap) | toYaml }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "streamflow.postgres.host" -}}
{{- .Values.postgres.external.enabled | ternary .Values.postgres.external.host (include "streamflow.postgres.name" .) -}}
{{- end }}
{{- define "streamflow.postgres.port" -}}
{{- .Values.postgres.external.enabled | ternary .Values.postgres.external.port 5432 | int -}}
{{- end }}

{{/* "true" when connections go through a pooler in transaction mode, else empty. */}}
{{- define "streamflow.postgres.pooled" -}}
{{- with .Values.postgres.external -}}
{{- if and .enabled (ne .pooler.mode "none") -}}true{{- end -}}
{{- end -}}
{{- end }}

{{/* The host of PostgreSQL itself beside a pooler; empty where there is none. */}}
{{- define "streamflow.postgres.direct" -}}
{{- if include "streamflow.postgres.pooled" . -}}{{ .Values.postgres.external.pooler.direct.host }}{{- end -}}
{{- end }}

{{/*
Where PostgreSQL is, as variables. Who needs a session of the server, which a pooler does not give,
is the user of postgres.auth. Call as streamflow.postgres.env.
*/}}
{{- define "streamflow.postgres.address" -}}
{{- $pooler := .root.Values.postgres.external.pooler -}}
{{- if and (eq .role "admin") (include "streamflow.postgres.direct" .root) -}}
- name: PGHOST
  value: {{ include "streamflow.literal" $pooler.direct.host | quote }}
- name: PGPORT
  value: {{ $pooler.direct.port | int | quote }}
{{- else -}}
- name: PGHOST
  value: {{ include "streamflow.postgres.host" .root | include "streamflow.literal" | quote }}
- name: PGPORT
  value: {{ include "streamflow.postgres.port" .root | quote }}
{{- if include "streamflow.postgres.pooled" .root }}
- name: STREAMFLOW_POOLER
  value: {{ $pooler.mode | quote }}
{{- if $pooler.direct.host }}
- name: STREAMFLOW_DIRECT_HOST
  value: {{ include "streamflow.literal" $pooler.direct.host | quote }}
- name: STREAMFLOW_DIRECT_PORT
  value: {{ $pooler.direct.port | int | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* `value:` or `valueFrom:` of the user's name. */}}
{{- define "streamflow.postgres.user" -}}
{{- if .Values.postgres.auth.userKey -}}
valueFrom:
  secretKeyRef:
    name: {{ include "streamflow.postgres.secret" . | quote }}
    key: {{ .Values.postgres.auth.userKey | quote }}
{{- else -}}
value: {{ include "streamflow.literal" .Values.postgres.auth.user | quote }}
{{- end -}}
{{- end }}

{{/* `valueFrom:` of the password. */}}
{{- define "streamflow.postgres.passwordFrom" -}}
valueFrom:
  secretKeyRef:
    name: {{ include "streamflow.postgres.secret" . | quote }}
    key: {{ .Values.postgres.auth.passwordKey | quote }}
{{- end }}

{{/*
libpq's variables, which every program of every part reads. Call with root and role: one of the five,
`admin` for postgres.auth, or `none` for what does not use the database. Both name and password of
a role are from its Secret, so that another password changes the spec of no Job.
*/}}
{{- define "streamflow.postgres.env" -}}
{{ include "streamflow.postgres.address" . }}
- name: PGDATABASE
  value: {{ include "streamflow.literal" .root.Values.postgres.auth.database | quote }}
{{- if ne .role "none" }}
{{- if or (eq .role "admin") (not (include "streamflow.roles.on" .root)) }}
- name: PGUSER
  {{- include "streamflow.postgres.user" .root | nindent 2 }}
- name: PGPASSWORD
  {{- include "streamflow.postgres.passwordFrom" .root | nindent 2 }}
{{- else }}
- name: PGUSER
  {{- include "streamflow.roles.from" (merge (dict "key" "username") .) | nindent 2 }}
- name: PGPASSWORD
  {{- include "streamflow.roles.from" (merge (dict "key" "password") .) | nindent 2 }}
{{- end }}
{{- end }}
- name: PGSSLMODE
  value: {{ .root.Values.postgres.external.enabled | ternary .root.Values.postgres.external.sslmode "disable" }}
{{- with include "streamflow.postgres.ca.path" .root }}
- name: PGSSLROOTCERT
  value: {{ include "streamflow.literal" . | quote }}
{{- end }}
- name: PGTZ
  value: UTC
{{- end }}

{{/*
The bundled PostgreSQL's password: the one in its Secret, unless there is none or `rotation` is another than
there. Made once per rendering and kept where every template sees it.
*/}}
{{- define "streamflow.postgres.password" -}}
{{- if not (hasKey .Release "postgresPassword") -}}
{{- $found := lookup "v1" "Secret" .Release.Namespace (include "streamflow.postgres.secret" .) -}}
{{- $password := get ($found.data | default dict) .Values.postgres.auth.passwordKey | b64dec -}}
{{- if ne (include "streamflow.postgres.rotation" .) (dig "metadata" "annotations" "streamflow/rotation" "0" $found) -}}
{{- $password = "" -}}
{{- end -}}
{{- $_ := set .Release "postgresPassword" ($password | default (randAlphaNum 32)) -}}
{{- end -}}
{{- .Release.postgresPassword -}}
{{- end }}

{{/* What `rotation` of the administrator is, as text. */}}
{{- define "streamflow.postgres.rotation" -}}
{{- include "streamflow.text" .Values.postgres.auth.rotation -}}
{{- end }}

{{/*
Changes with the credentials, so that pods that read them at start are replaced by the upgrade
after. An existing Secret is looked up, which `helm template` cannot. Call as streamflow.postgres.env.
*/}}
{{- define "streamflow.postgres.checksum" -}}
{{- if and (ne .role "admin") (include "streamflow.roles.on" .root) -}}
{{- include "streamflow.roles.checksum" . -}}
{{- else if or .root.Values.postgres.external.enabled .root.Values.postgres.auth.existingSecret -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace (include "streamflow.postgres.secret" .root) | dig "data" dict | toJson -}}
{{- /* All that is known of the change where there is no cluster to look it up in. */ -}}
{{- $rotation := include "streamflow.postgres.rotation" .root -}}
{{- eq $rotation "0" | ternary $found (printf "%s %s" $found $rotation) | sha256sum -}}
{{- else -}}
{{- include "streamflow.postgres.password" .root | sha256sum -}}
{{- end -}}
{{- end }}

{{/*
How many connections the release may open at once. An API pod: see streamflow.api.connections; one
pod more during a rollout. Prefect: 5 and 10 more under load. A Job: six at
most, however long its list is; months, backfills and training sets have one each, and there are `apply`,
two materializations and an audit. Who serves flows: one run at a time, and one that keeps others from
serving them, for each of two roles. A backup: two, what creates the roles: one.
Spark: one for each task. `feast`: its UI and a person's command. The explorer: its pool in each pod, and in one more during a rollout. Three of a server are a superuser's, which the roles are not.
*/}}
{{- define "streamflow.postgres.connections" -}}
{{- $api := .Values.api -}}
{{- $jobs := .Values.jobs -}}
{{- $atOnce := 3 -}}
{{- range list $jobs.ingest.months $jobs.materialize.backfills $jobs.trainingSet.datasets -}}
{{- if . }}{{ $atOnce = add1 $atOnce }}{{ end -}}
{{- end -}}
{{- $needed := mul 6 $atOnce -}}
{{- if $api.enabled -}}
{{- $pods := $api.autoscaling.enabled | ternary $api.autoscaling.maxReplicas $api.replicaCount | int | add1 -}}
{{- $needed = include "streamflow.api.connections" . | int | mul $pods | add $needed -}}
{{- end -}}
{{- if include "streamflow.prefect.own" . }}{{ $needed = add $needed 15 }}{{ end -}}
{{- if include "streamflow.flows.on" . }}{{ $needed = add $needed 14 }}{{ end -}}
{{- if include "streamflow.backup.on" . }}{{ $needed = add $needed 2 }}{{ end -}}
{{- if .Values.jobs.audit.enabled }}{{ $needed = add $needed 6 }}{{ end -}}
{{- if .Values.feast.enabled }}{{ $needed = add $needed 8 }}{{ end -}}
{{- with .Values.explorer }}{{ if .enabled }}{{ $needed = add1 .replicaCount | mul .poolSize | add $needed }}{{ end }}{{ end -}}
{{- if include "streamflow.spark.on" . }}{{ $needed = add $needed (include "streamflow.spark.tasks" .) }}{{ end -}}
{{- if include "streamflow.roles.created" . }}{{ $needed = add $needed 1 }}{{ end -}}
{{- if include "streamflow.roles.on" . }}{{ $needed = add $needed 3 }}{{ end -}}
{{- $needed -}}
{{- end }}

{{/* The variables of the bundled server; they matter when it makes a new data directory. */}}
{{- define "streamflow.postgres.serverEnv" -}}
- name: POSTGRES_USER
  {{- include "streamflow.postgres.user" . | nindent 2 }}
- name: POSTGRES_PASSWORD
  {{- include "streamflow.postgres.passwordFrom" . | nindent 2 }}
- name: POSTGRES_DB
  value: {{ include "streamflow.literal" .Values.postgres.auth.database | quote }}
# For who is in the pod, and for the probes, at which the log else complains of a missing role.
- name: PGUSER
  value: $(POSTGRES_USER)
- name: PGDATABASE
  value: $(POSTGRES_DB)
- name: POSTGRES_INITDB_ARGS
  value: {{ include "streamflow.literal" .Values.postgres.initdbArgs | quote }}
- name: PGDATA
  value: {{ include "streamflow.postgres.data" . }}
{{- end }}

{{/* The data directory; it stays when the image's major version is another one. */}}
{{- define "streamflow.postgres.data" -}}/var/lib/postgresql/18/docker{{- end }}

{{/* What files/check_version.sh reads: where the data is, and names for its advice. */}}
{{- define "streamflow.postgres.checkEnv" -}}
- name: PGDATA
  value: {{ include "streamflow.postgres.data" . }}
- name: BACKUP
  value: {{ include "streamflow.backup.name" . }}
- name: CLAIM
  value: {{ include "streamflow.postgres.claim" . | quote }}
- name: STATEFULSET
  value: {{ include "streamflow.postgres.name" . | quote }}
{{- end }}

{{/* A script of files/ as the command of a container of PostgreSQL's image. Call with root and script. */}}
{{- define "streamflow.postgres.script" -}}
- bash
- -c
- |
  {{- .root.Files.Get (printf "files/%s.sh" .script) | trim | nindent 2 }}
- {{ .script }}
{{- end }}

{{/*
A probe of the server over TCP, where the one that only prepares a new data directory does not listen. Call
with timing and lets: true where it has to let clients in, false where it may say that it does not yet, as
while it replays its log, which takes as long as it takes.
*/}}
{{- define "streamflow.postgres.probe" -}}
{{- $ask := printf "pg_isready --quiet --host=127.0.0.1 --timeout=%d" (max 1 (sub (int (.timing.timeoutSeconds | default 1)) 1)) -}}
exec:
  command: {{ .lets | ternary (splitList " " $ask) (list "bash" "-c" (printf "%s || [ $? -eq 1 ]" $ask)) | toJson }}
{{- with .timing }}
{{ toYaml . }}
{{- end }}
{{- end }}
