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

{{/*
Variables of a container that writes or reads the lake: its URL, and the memory for its joins, which is what the limit
leaves beside Python's. Call as streamflow.job.values; empty where there is no lake, or none for this kind.
*/}}
{{- define "streamflow.lake.env" -}}
{{- $kinds := list "ingest" "trainingSet" -}}
{{- if include "streamflow.materialize.fromLake" .root }}{{ $kinds = append $kinds "materialize" }}{{ end -}}
{{- with and (has (.kind | default "") $kinds) .root.Values.jobs.lake.url -}}
- name: STREAMFLOW_LAKE_URL
  value: {{ include "streamflow.literal" . | quote }}
{{- $limit := dig "limits" "memory" "" (include "streamflow.job.resources" $ | fromYaml) -}}
{{- if $limit }}
- name: STREAMFLOW_LAKE_MEMORY_MIB
  value: {{ sub (divf (float64 (include "streamflow.quantity" $limit)) 1048576.0 | floor | int64) 512 | max 128 | quote }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The same and how long a command waits for what it needs. Call as streamflow.postgres.env. */}}
{{- define "streamflow.jobs.waitingEnv" -}}
{{ include "streamflow.jobs.env" . }}
- name: STREAMFLOW_WAIT_S
  value: {{ .root.Values.jobs.waitSeconds | int | quote }}
{{- end }}

{{/*
How the log of a run in a container is read, for the ledger: its pod's name is known when it starts. Call with root and
name, the container's.
*/}}
{{- define "streamflow.job.logEnv" -}}
- name: STREAMFLOW_POD
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: STREAMFLOW_LOG_COMMAND
  value: kubectl --namespace {{ .root.Release.Namespace }} logs $(STREAMFLOW_POD) --container {{ .name }}
{{- end }}

{{/*
The values of a kind of Job, whose resources and activeDeadlineSeconds come before those of all; of
no kind, none. Call with root and optionally kind (a key of `jobs`).
*/}}
{{- define "streamflow.job.values" -}}
{{- with .kind }}{{ index $.root.Values.jobs . | toYaml }}{{ end -}}
{{- end }}

{{/* Seconds until a Job is stopped. Call as streamflow.job.values. */}}
{{- define "streamflow.job.deadline" -}}
{{- (include "streamflow.job.values" . | fromYaml).activeDeadlineSeconds | default .root.Values.jobs.activeDeadlineSeconds | int -}}
{{- end }}

{{/* The longest that any Job may run, in seconds. */}}
{{- define "streamflow.job.longest" -}}
{{- $longest := int .Values.jobs.activeDeadlineSeconds -}}
{{- range $kind, $values := .Values.jobs -}}
{{- if kindIs "map" $values -}}
{{- $longest = max $longest (int $values.activeDeadlineSeconds) -}}
{{- end -}}
{{- end -}}
{{- $longest -}}
{{- end }}

{{/* Resources of a container of a Job, as text. Call as streamflow.job.values, and optionally with resources. */}}
{{- define "streamflow.job.resources" -}}
{{- .resources | default (include "streamflow.job.values" . | fromYaml).resources | default .root.Values.jobs.resources | toYaml -}}
{{- end }}

{{/*
A container of a Job. Call with root, name, args, role (see streamflow.postgres.env), and optionally
kind (see streamflow.job.values), image and command (instead of the jobs image and what it runs),
resources, env (text), envFrom and mounts (lists), untracked (true: about the database itself, it
reads no definitions) and spark (true: it is a driver of Spark, where that is on).
*/}}
{{- define "streamflow.job.container" -}}
{{- $jobs := .root.Values.jobs -}}
{{- $jobsPart := dict "root" .root "part" "jobs" "reads" (not .untracked) -}}
{{- $spark := include "streamflow.job.spark" . -}}
name: {{ .name }}
image: {{ .image | default (include (empty $spark | ternary "streamflow.jobs.image" "streamflow.spark.image") .root) | quote }}
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
  {{- $own := list (include "streamflow.jobs.waitingEnv" .) (include "streamflow.job.logEnv" .) (include "streamflow.lake.env" .) (empty $spark | ternary "" (include "streamflow.spark.env" .root)) (.env | default "") | join "\n" }}
  {{- include "streamflow.env" (merge (dict "own" $own) $jobsPart) | nindent 2 }}
{{- $ofLake := ternary $jobs.lake.envFrom list (ne (include "streamflow.lake.env" .) "") }}
{{- with concat (.envFrom | default list) ($ofLake | default list) ($jobs.extraEnvFrom | default list) }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- include "streamflow.job.resources" . | nindent 2 }}
securityContext:
  {{- include "streamflow.container.security" $jobsPart | nindent 2 }}
volumeMounts:
  {{- $mounts := .mounts | default list }}
  {{- if $spark }}{{ $mounts = concat $mounts (include "streamflow.spark.mounts" .root | fromYamlArray) }}{{ end }}
  {{- include "streamflow.mounts" (merge (dict "own" $mounts) $jobsPart) | nindent 2 }}
{{- end }}

{{/* "true" for a driver of Spark, else empty. Call as streamflow.job.container. */}}
{{- define "streamflow.job.spark" -}}
{{- if .spark }}{{ include "streamflow.spark.on" .root }}{{ end -}}
{{- end }}

{{/*
The spec of a Job. Call as streamflow.job.container, and optionally with volumes, initContainers
(lists), beside (a term of pod affinity), annotations (a dict), applies (true: it applies the definitions) and shows (the
container whose log is the Job's, unless it is the last one). One that is untracked does not wait for Prefect, nor does one
that applies, since everything waits for it: it is tracked where Prefect answers by then.
*/}}
{{- define "streamflow.job.spec" -}}
{{- $root := .root -}}
{{- $jobs := .root.Values.jobs -}}
{{- $jobsPart := dict "root" $root "part" "jobs" "reads" (not .untracked) -}}
{{- $spark := include "streamflow.job.spark" . -}}
backoffLimit: {{ $jobs.backoffLimit | int }}
activeDeadlineSeconds: {{ include "streamflow.job.deadline" . }}
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
    {{- $labels := "" }}
    {{- if $spark }}
    {{- $annotations = merge (dict "checksum/spark" (include "streamflow.spark.files" $root | sha256sum)) $annotations }}
    {{- $labels = include "streamflow.spark.driverLabel" $root }}
    {{- end }}
    {{- include "streamflow.pod.metadata" (merge (dict "annotations" $annotations "labels" $labels) $jobsPart) | nindent 4 }}
  spec:
    restartPolicy: Never
    {{- $account := empty $spark | ternary "" (include "streamflow.spark.name" $root) }}
    {{- include "streamflow.pod.spec" (merge (dict "beside" .beside "account" $account) $jobsPart) | nindent 4 }}
    {{- $prefect := and (not (or .untracked .applies)) (include "streamflow.prefect.url" $root) (gt (int $root.Values.prefect.waitSeconds) 0) }}
    {{- $first := include "streamflow.containers.first" $jobsPart }}
    {{- $definitions := "" }}
    {{- if not .untracked }}
    {{- $definitions = include "streamflow.definitions.container" (dict "root" $root "part" "jobs" "resources" (include "streamflow.job.resources" .) "applies" .applies) }}
    {{- end }}
    {{- if or $first $definitions $prefect .initContainers }}
    initContainers:
      {{- with $first }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $definitions }}
      {{- . | trim | nindent 6 }}
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
          {{- include "streamflow.job.resources" . | nindent 10 }}
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
      {{- $volumes := .volumes | default list }}
      {{- if $spark }}{{ $volumes = concat $volumes (include "streamflow.spark.volumes" $root | fromYamlArray) }}{{ end }}
      {{- include "streamflow.volumes" (merge (dict "own" $volumes) $jobsPart) | nindent 6 }}
{{- end }}

{{/*
A Job named by the hash of its spec: one that did not change is not started again, one that changed
is another Job, which does what was not done before. No ttlSecondsAfterFinished, or an upgrade that
changes nothing would start it again.
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
Arguments that run commands in one process, one after the other, however many they are. Call with a
list of commands, each a list of words; a list.
*/}}
{{- define "streamflow.job.batch" -}}
{{- $args := list "batch" -}}
{{- range $index, $command := . -}}
{{- if $index }}{{ $args = append $args "--then" }}{{ end -}}
{{- $args = concat $args $command -}}
{{- end -}}
{{- toYaml $args -}}
{{- end }}

{{/* The option that tells what is done again from what was done, as a list. Call with an entry. */}}
{{- define "streamflow.job.revision" -}}
{{- with .revision }}{{ list "--revision" (include "streamflow.text" .) | toYaml }}{{ else }}[]{{ end -}}
{{- end }}

{{/* The entries of jobs.ingest.months by their day, the oldest first, as a list. */}}
{{- define "streamflow.ingest.months" -}}
{{- $byDay := dict -}}
{{- range .Values.jobs.ingest.months }}{{ $_ := set $byDay .asOf . }}{{ end -}}
{{- $months := list -}}
{{- range keys $byDay | sortAlpha }}{{ $months = append $months (get $byDay .) }}{{ end -}}
{{- toYaml $months -}}
{{- end }}

{{/*
Where a month comes from, as `ingest` takes it; the ledger knows it by that. Call with root and
month (an entry of jobs.ingest.months).
*/}}
{{- define "streamflow.ingest.source" -}}
{{- with .root.Values.jobs.ingest -}}
{{- if eq $.month.source "url" -}}
{{ $.month.url }}
{{- else if eq $.month.source "pvc" -}}
{{ printf "/data/%s/%s" .pvc.claimName ($.month.path | default "") | trimSuffix "/" }}
{{- else -}}
{{ printf "sample://users-%d/seed-%d/%s" (int .sample.users) (int .sample.seed) $.month.month }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* "true" when a training set goes to the volume, or may by a form, else empty. */}}
{{- define "streamflow.trainingSet.volume" -}}
{{- include "streamflow.flows.on" . -}}
{{- range .Values.jobs.trainingSet.datasets }}{{ if not .out }}true{{ end }}{{ end -}}
{{- end }}

{{/*
The pod that has the volume for training sets mounted all the time, as a term of pod affinity for who else mounts it;
empty where there is none, or where many nodes can mount it. Call with root and parts, of which the first that runs counts.
*/}}
{{- define "streamflow.trainingSet.beside" -}}
{{- $on := dict "feast" .root.Values.feast.enabled "flows" (include "streamflow.flows.on" .root) -}}
{{- $beside := "" -}}
{{- range .parts }}{{ if and (not $beside) (get $on .) }}{{ $beside = . }}{{ end }}{{ end -}}
{{- if and $beside (not (has "ReadWriteMany" .root.Values.jobs.trainingSet.persistence.accessModes)) -}}
{{- $labels := include "streamflow.selectorLabels" (dict "root" .root "part" $beside) | fromYaml -}}
{{- dict "labelSelector" (dict "matchLabels" $labels) "topologyKey" "kubernetes.io/hostname" | toYaml -}}
{{- end -}}
{{- end }}

{{/* SERVICE_DAY.parquet. Call with root and dataset (an entry of jobs.trainingSet.datasets). */}}
{{- define "streamflow.trainingSet.file" -}}
{{ include "streamflow.trainingSet.service" . }}_{{ .dataset.asOf }}.parquet
{{- end }}

{{/* Its feature service, of which its file has the name. Call with root and dataset. */}}
{{- define "streamflow.trainingSet.service" -}}
{{ .dataset.service | default .root.Values.api.defaultService | default "churn_v1" }}
{{- end }}
