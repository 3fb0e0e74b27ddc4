{{/*
Every name of a resource comes from here. 40 characters for the release leave room for the
longest suffix: a CronJob's name may have 52, a StatefulSet's 52, a Service's and a Job's 63.
*/}}
{{- define "streamflow.fullname" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = contains $chart .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $chart) -}}
{{- end -}}
{{- if gt (len $name) 40 -}}
{{- $name = printf "%s-%s" (trunc 31 $name | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{- define "streamflow.api.name" -}}{{ include "streamflow.fullname" . }}-api{{- end }}
{{- define "streamflow.api.headless" -}}{{ include "streamflow.api.name" . }}-headless{{- end }}
{{- define "streamflow.explorer.name" -}}{{ include "streamflow.fullname" . }}-explorer{{- end }}
{{- define "streamflow.feast.name" -}}{{ include "streamflow.fullname" . }}-feast{{- end }}
{{- define "streamflow.flows.name" -}}{{ include "streamflow.fullname" . }}-flows{{- end }}
{{- define "streamflow.jobs.name" -}}{{ include "streamflow.fullname" . }}-jobs{{- end }}
{{- define "streamflow.postgres.name" -}}{{ include "streamflow.fullname" . }}-postgres{{- end }}
{{- define "streamflow.prefect.name" -}}{{ include "streamflow.fullname" . }}-prefect{{- end }}
{{- define "streamflow.test.name" -}}{{ include "streamflow.fullname" . }}-test{{- end }}
{{- define "streamflow.postgres.headless" -}}{{ include "streamflow.postgres.name" . }}-headless{{- end }}
{{- define "streamflow.materialize.name" -}}{{ include "streamflow.fullname" . }}-materialize{{- end }}
{{- define "streamflow.audit.name" -}}{{ include "streamflow.fullname" . }}-audit{{- end }}
{{- define "streamflow.backup.name" -}}{{ include "streamflow.fullname" . }}-backup{{- end }}

{{/* The Secret with the password: the release's own, or an existing one. */}}
{{- define "streamflow.postgres.secret" -}}
{{- default (include "streamflow.postgres.name" .) .Values.postgres.auth.existingSecret -}}
{{- end }}

{{/* The claim with the training sets: the release's own, or an existing one. */}}
{{- define "streamflow.trainingSet.claim" -}}
{{- default (printf "%s-training" (include "streamflow.fullname" .)) .Values.jobs.trainingSet.persistence.existingClaim -}}
{{- end }}

{{/* The claim with the backups: the release's own, or an existing one. */}}
{{- define "streamflow.backup.claim" -}}
{{- default (printf "%s-backups" (include "streamflow.fullname" .)) .Values.jobs.backup.persistence.existingClaim -}}
{{- end }}

{{/* The claim with the bundled server's data, as the StatefulSet names it. */}}
{{- define "streamflow.postgres.claim" -}}data-{{ include "streamflow.postgres.name" . }}-0{{- end }}

{{/*
A Job's name: the release, what it does, and a hash of its whole spec, since Kubernetes refuses
another spec for a Job that is there, wherever manifests come from. What of it was done before is
for its commands to know. Call with root, what (ingest) and spec (as text).
*/}}
{{- define "streamflow.job.name" -}}
{{- $base := printf "%s-%s" (include "streamflow.fullname" .root) .what | trunc 54 | trimSuffix "-" -}}
{{- printf "%s-%s" $base (fromYaml .spec | toJson | sha256sum | trunc 8) -}}
{{- end }}

{{/* Call with root and part. */}}
{{- define "streamflow.serviceAccount" -}}
{{- $account := (index .root.Values .part).serviceAccount -}}
{{- if $account.create -}}
{{- default (include (printf "streamflow.%s.name" .part) .root) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end }}

{{/*
Labels that select a part's pods and never change. Call with root, part and optionally component (of pods that have
the part's values and are not its own).
*/}}
{{- define "streamflow.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | default .part }}
{{- end }}

{{/*
Labels of a resource, for metadata only: a version in a pod template would restart the pods
and run every Job again. Call with root and part.
*/}}
{{- define "streamflow.labels" -}}
{{ include "streamflow.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}
