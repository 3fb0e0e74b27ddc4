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
  {{- with .root.Values.jobs.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  schedule: {{ .values.schedule | quote }}
  timeZone: {{ .values.timeZone }}
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
