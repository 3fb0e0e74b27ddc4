{{/* What the pods of all parts have in common, in the order in which a pod's fields follow. */}}

{{/*
Labels and annotations of a part's pods. Call with root, part and optionally annotations (a dict).
*/}}
{{- define "streamflow.pod.metadata" -}}
{{- $part := index .root.Values .part -}}
labels:
  {{- include "streamflow.selectorLabels" . | nindent 2 }}
  {{- with $part.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (deepCopy ($part.podAnnotations | default dict)) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Who a part's pods are and where they may run: what the Restricted pod security standard asks of
a pod. Call with root, part and optionally affinity (a dict that gives way to the part's own).
*/}}
{{- define "streamflow.pod.spec" -}}
{{- $part := index .root.Values .part -}}
{{- $user := ternary 999 10001 (eq .part "postgres") -}}
serviceAccountName: {{ include "streamflow.serviceAccount" . }}
automountServiceAccountToken: false
# The variables of a Service called streamflow-api would begin like the settings of the API.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $user }}
  runAsGroup: {{ $user }}
  fsGroup: {{ $user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with merge (deepCopy ($part.affinity | default dict)) (.affinity | default dict) }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* What the Restricted pod security standard asks of a container, and a read-only root. */}}
{{- define "streamflow.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* REPOSITORY:TAG or REPOSITORY@DIGEST. Call with image, registry and tag (the default one). */}}
{{- define "streamflow.image" -}}
{{- with .registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ include "streamflow.text" (.image.tag | default .tag) }}{{ end }}
{{- end }}

{{- define "streamflow.api.image" -}}
{{ include "streamflow.image" (dict "image" .Values.api.image "registry" .Values.image.registry "tag" .Chart.AppVersion) }}
{{- end }}
{{- define "streamflow.jobs.image" -}}
{{ include "streamflow.image" (dict "image" .Values.jobs.image "registry" .Values.image.registry "tag" .Chart.AppVersion) }}
{{- end }}
{{- define "streamflow.postgres.image" -}}
{{ include "streamflow.image" (dict "image" .Values.postgres.image "registry" "" "tag" "18") }}
{{- end }}

{{/*
A list of variables: `own` (text) without those that the part's extraEnv sets, then extraEnv, so
that no name is there twice. Call with root, part and own.
*/}}
{{- define "streamflow.env" -}}
{{- $extra := (index .root.Values .part).extraEnv | default list -}}
{{- $set := dict -}}
{{- range $extra }}{{ $_ := set $set .name true }}{{ end -}}
{{- $env := list -}}
{{- range fromYamlArray .own }}{{ if not (hasKey $set .name) }}{{ $env = append $env . }}{{ end }}{{ end -}}
{{- with concat $env $extra }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Mounts of a part's containers. Call with root, part and optionally own (a list). */}}
{{- define "streamflow.mounts" -}}
{{- $mounts := list (dict "name" "tmp" "mountPath" "/tmp") -}}
{{- if include "streamflow.postgres.ca.volume" .root | and (ne .part "postgres") -}}
{{- $mounts = append $mounts (dict "name" "postgres-ca" "mountPath" "/etc/streamflow/postgres-ca" "readOnly" true) -}}
{{- end -}}
{{- toYaml (concat $mounts (.own | default list) ((index .root.Values .part).extraVolumeMounts | default list)) }}
{{- end }}

{{/* Volumes of a part's pods. Call with root, part and optionally own (a list). */}}
{{- define "streamflow.volumes" -}}
{{- $volumes := list (dict "name" "tmp" "emptyDir" dict) -}}
{{- if ne .part "postgres" -}}
{{- with include "streamflow.postgres.ca.volume" .root }}{{ $volumes = append $volumes (fromYaml .) }}{{ end -}}
{{- end -}}
{{- toYaml (concat $volumes (.own | default list) ((index .root.Values .part).extraVolumes | default list)) }}
{{- end }}

{{/* A number, boolean or string as plain text: 1048576 stays 1048576. */}}
{{- define "streamflow.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* The part's own ServiceAccount, unless an existing one is used. Call with root and part. */}}
{{- define "streamflow.serviceAccount.manifest" -}}
{{- $account := (index .root.Values .part).serviceAccount -}}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "streamflow.serviceAccount" . }}
  labels:
    {{- include "streamflow.labels" . | nindent 4 }}
  {{- with $account.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}
{{- end }}

{{/* OpenTelemetry's variables for whoever makes spans, as a map; empty when nobody does. */}}
{{- define "streamflow.tracing.env" -}}
{{- with .Values.tracing -}}
{{- if .endpoint -}}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .endpoint | quote }}
OTEL_TRACES_SAMPLER: parentbased_traceidratio
OTEL_TRACES_SAMPLER_ARG: {{ include "streamflow.text" .ratio | quote }}
{{- end -}}
{{- end -}}
{{- end }}
