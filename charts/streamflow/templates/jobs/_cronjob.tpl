{{/*
A CronJob. Call with root, name, values (with its schedule) and spec (of its Jobs, as text).
*/}}
{{- define "streamflow.cronjob" -}}
{{- $jobsPart := dict "root" .root "part" "jobs" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ .name }}
  labels:
    {{- include "streamflow.labels" $jobsPart | nindent 4 }}
  {{- with include "streamflow.texts" .root.Values.jobs.annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  schedule: {{ .values.schedule | quote }}
  timeZone: {{ .values.timeZone | quote }}
  suspend: {{ .values.suspend }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: {{ .values.startingDeadlineSeconds | int }}
  successfulJobsHistoryLimit: {{ .values.successfulJobsHistoryLimit | int }}
  failedJobsHistoryLimit: {{ .values.failedJobsHistoryLimit | int }}
  jobTemplate:
    metadata:
      labels:
        {{- include "streamflow.selectorLabels" $jobsPart | nindent 8 }}
    spec:
      {{- .spec | nindent 6 }}
{{- end }}

{{/* The variable JOB_NAME: a scheduled Job's name ends in its time. */}}
{{- define "streamflow.cronjob.env" -}}
- name: JOB_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['batch.kubernetes.io/job-name']
{{- end }}

{{/* What materializes a window, as a list of arguments. Call with an entry of backfills. */}}
{{- define "streamflow.backfill.args" -}}
{{- $args := list "materialize" }}
{{- with .start }}{{ $args = concat $args (list "--start" .) }}{{ end }}
{{- with .end }}{{ $args = concat $args (list "--end" .) }}{{ end }}
{{- range .views }}{{ $args = concat $args (list "--view" .) }}{{ end }}
{{- if .force }}{{ $args = append $args "--force" }}{{ end }}
{{- if eq (.from | default "") "lake" }}{{ $args = concat $args (list "--from" "lake") }}{{ end }}
{{- $args = concat $args (include "streamflow.job.revision" . | fromYamlArray) }}
{{- append $args "--once" | toYaml -}}
{{- end }}
