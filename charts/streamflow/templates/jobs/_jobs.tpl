{{/* Variables of everything that runs the jobs image. Call as streamflow.postgres.env. */}}
{{- define "streamflow.jobs.env" -}}
{{ include "streamflow.postgres.env" . }}
- name: STREAMFLOW_KEEP_RUNS_DAYS
  value: {{ .root.Values.jobs.keepRunsDays | int | quote }}
- name: STREAMFLOW_MAX_AHEAD_S
  value: {{ .root.Values.jobs.maxAheadSeconds | int | quote }}
{{- with include "streamflow.prefect.url" .root }}
- name: PREFECT_API_URL
  value: {{ include "streamflow.literal" . | quote }}
{{- end }}
{{- range $name, $value := include "streamflow.tracing.env" .root | fromYaml }}
- name: {{ $name }}
  value: {{ include "streamflow.literal" $value | quote }}
{{- end }}
{{- end }}

{{/* The same and how long a command waits for what it needs. Call as streamflow.postgres.env. */}}
{{- define "streamflow.jobs.waitingEnv" -}}
{{ include "streamflow.jobs.env" . }}
- name: STREAMFLOW_WAIT_S
  value: {{ .root.Values.jobs.waitSeconds | int | quote }}
{{- end }}

{{/*
A container of a Job. Call with root, name, args, role (see streamflow.postgres.env), and optionally
image and command (instead of the jobs image and what it runs), resources (instead of
jobs.resources), env (text), envFrom and mounts (lists).
*/}}
{{- define "streamflow.job.container" -}}
{{- $jobs := .root.Values.jobs -}}
{{- $jobsPart := dict "root" .root "part" "jobs" -}}
name: {{ .name }}
image: {{ .image | default (include "streamflow.jobs.image" .root) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- with .command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
args:
  {{- /* All of a person's texts stay as they are; the chart's own $(JOB_NAME) is the scheduled Job's. */}}
  {{- $args := list }}
  {{- range .args }}
  {{- $args = append $args (include "streamflow.literal" . | replace "$$(JOB_NAME)" "$(JOB_NAME)") }}
  {{- end }}
  {{- toYaml $args | nindent 2 }}
env:
  {{- $own := printf "%s\n%s" (include "streamflow.jobs.waitingEnv" .) (.env | default "") }}
  {{- include "streamflow.env" (merge (dict "own" $own) $jobsPart) | nindent 2 }}
{{- with concat (.envFrom | default list) ($jobs.extraEnvFrom | default list) }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml (.resources | default $jobs.resources) | nindent 2 }}
securityContext:
  {{- include "streamflow.container.security" $jobsPart | nindent 2 }}
volumeMounts:
  {{- include "streamflow.mounts" (merge (dict "own" .mounts) $jobsPart) | nindent 2 }}
{{- end }}

{{/*
The spec of a Job. Call as streamflow.job.container, and optionally with volumes, initContainers
(lists), beside (a term of pod affinity), annotations (a dict), untracked (true: it does not wait for Prefect) and shows (the
container whose log is the Job's, unless it is the last one).
*/}}
{{- define "streamflow.job.spec" -}}
{{- $root := .root -}}
{{- $jobs := .root.Values.jobs -}}
{{- $jobsPart := dict "root" $root "part" "jobs" -}}
backoffLimit: {{ $jobs.backoffLimit | int }}
activeDeadlineSeconds: {{ $jobs.activeDeadlineSeconds | int }}
podFailurePolicy:
  rules:
    # Wrong configuration (2) and refused input (3) are the same at the next attempt.
    - action: FailJob
      onExitCodes:
        operator: In
        values: [2, 3]
    # A drained node is no failed attempt.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
template:
  metadata:
    {{- $annotations := merge (dict "kubectl.kubernetes.io/default-container" (.shows | default .name)) (.annotations | default dict) }}
    {{- include "streamflow.pod.metadata" (merge (dict "annotations" $annotations) $jobsPart) | nindent 4 }}
  spec:
    restartPolicy: Never
    {{- include "streamflow.pod.spec" (merge (dict "beside" .beside) $jobsPart) | nindent 4 }}
    {{- $prefect := and (not .untracked) (include "streamflow.prefect.url" $root) (gt (int $root.Values.prefect.waitSeconds) 0) }}
    {{- $first := include "streamflow.containers.first" $jobsPart }}
    {{- if or $first $prefect .initContainers }}
    initContainers:
      {{- with $first }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- if $prefect }}
      - name: wait-for-prefect
        image: {{ include "streamflow.jobs.image" $root | quote }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        command:
          - python
          - -c
          - |
            {{- $root.Files.Get "files/wait_for_prefect.py" | trim | nindent 12 }}
        args:
          - {{ include "streamflow.prefect.url" $root | include "streamflow.literal" | quote }}
          - {{ $root.Values.prefect.waitSeconds | int | quote }}
        resources:
          {{- toYaml (.resources | default $jobs.resources) | nindent 10 }}
        securityContext:
          {{- include "streamflow.container.security" $jobsPart | nindent 10 }}
      {{- end }}
      {{- with .initContainers }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- end }}
    containers:
      -
        {{- include "streamflow.job.container" . | nindent 8 }}
    volumes:
      {{- include "streamflow.volumes" (merge (dict "own" .volumes) $jobsPart) | nindent 6 }}
{{- end }}

{{/*
A Job named by the hash of its spec: what did not change is not run again, what changed is
another Job. No ttlSecondsAfterFinished, or an upgrade that changes nothing would run it again.
Call as streamflow.job.spec, with what (its name between release and hash).
*/}}
{{- define "streamflow.job" -}}
{{- $jobsPart := dict "root" .root "part" "jobs" -}}
{{- $spec := include "streamflow.job.spec" . -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "streamflow.job.name" (dict "root" .root "what" .what "spec" $spec) }}
  labels:
    {{- include "streamflow.labels" $jobsPart | nindent 4 }}
  {{- with include "streamflow.texts" .root.Values.jobs.annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  {{- $spec | nindent 2 }}
{{- end }}

{{/*
What the Job of a month is made of, as the arguments of streamflow.job. Call with root and month
(an entry of jobs.ingest.months).
*/}}
{{- define "streamflow.ingest.job" -}}
{{- $ingest := .root.Values.jobs.ingest -}}
{{- $job := dict "what" (printf "ingest-%s" .month.asOf) "name" "ingest" "role" "writer" "resources" $ingest.resources -}}
{{- $_ := set $job "envFrom" $ingest.envFrom -}}
{{- $from := "" -}}
{{- if eq .month.source "url" -}}
{{- $from = .month.url -}}
{{- else if eq .month.source "pvc" -}}
{{- $from = .month.path | default "" | printf "/data/%s" | trimSuffix "/" -}}
{{- $_ := set $job "mounts" (list (dict "name" "data" "mountPath" "/data" "readOnly" true)) -}}
{{- $_ := set $job "volumes" (list (dict "name" "data" "persistentVolumeClaim" (dict "claimName" $ingest.pvc.claimName))) -}}
{{- else -}}
{{- $from = printf "/data/%s" .month.month -}}
{{- $_ := set $job "mounts" (list (dict "name" "data" "mountPath" "/data" "readOnly" true)) -}}
{{- $_ := set $job "volumes" (list (dict "name" "data" "emptyDir" dict)) -}}
{{- $_ := set $job "initContainers" (list (include "streamflow.ingest.sample" . | fromYaml)) -}}
{{- end -}}
{{- $args := list "ingest" $from "--as-of" .month.asOf -}}
{{- $_ := set $job "args" ($ingest.materialize | ternary (append $args "--materialize") $args) -}}
{{- toYaml $job -}}
{{- end }}

{{/* The container that generates a month before it is ingested. Call as streamflow.ingest.job. */}}
{{- define "streamflow.ingest.sample" -}}
{{- $ingest := .root.Values.jobs.ingest -}}
name: sample
image: {{ include "streamflow.jobs.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args:
  - sample
  - --out
  - /data
  - --users
  - {{ $ingest.sample.users | int | quote }}
  # Up to this month: a month follows from the ones before.
  - --months
  - {{ regexReplaceAll "^month_0*" .month.month "" | int | add1 | quote }}
  - --seed
  - {{ $ingest.sample.seed | int | quote }}
resources:
  {{- toYaml ($ingest.resources | default .root.Values.jobs.resources) | nindent 2 }}
securityContext:
  {{- include "streamflow.container.security" (dict "root" .root "part" "jobs") | nindent 2 }}
volumeMounts:
  - name: data
    mountPath: /data
  - name: tmp
    mountPath: /tmp
{{- end }}

{{/*
Changes with the months up to a day, so that the training set of that day is built again when one
of them is. Call with root and asOf.
*/}}
{{- define "streamflow.ingest.checksum" -}}
{{- $jobs := list -}}
{{- range .root.Values.jobs.ingest.months -}}
{{- if le .asOf $.asOf -}}
{{- $jobs = append $jobs (include "streamflow.ingest.job" (dict "root" $.root "month" .)) -}}
{{- end -}}
{{- end -}}
{{- if $jobs }}{{ toJson $jobs | sha256sum }}{{ end -}}
{{- end }}

{{/* "true" when a training set goes to the volume, else empty. */}}
{{- define "streamflow.trainingSet.volume" -}}
{{- range .Values.jobs.trainingSet.datasets }}{{ if not .out }}true{{ end }}{{ end -}}
{{- end }}

{{/* SERVICE_DAY.parquet. Call with root and dataset (an entry of jobs.trainingSet.datasets). */}}
{{- define "streamflow.trainingSet.file" -}}
{{ .dataset.service | default .root.Values.api.defaultService }}_{{ .dataset.asOf }}.parquet
{{- end }}
