{{/* The settings of api/settings.py, as its variables. */}}
{{- define "streamflow.api.settings" -}}
{{- with .Values.api -}}
STREAMFLOW_API_SERVICE: {{ .defaultService | quote }}
{{- with .project }}
STREAMFLOW_API_PROJECT: {{ . | quote }}
{{- end }}
STREAMFLOW_POOL_SIZE: {{ add 1 .poolSize | quote }} {{- /* one more, for readiness */}}
{{- with .postgres }}
{{- if or .readHost .readHostKey }}
{{- if .readHost }}
STREAMFLOW_API_READ_HOST: {{ .readHost | quote }}
{{- end }}
STREAMFLOW_API_READ_PORT: {{ .readPort | int | quote }}
STREAMFLOW_API_MAX_LAG_S: {{ .maxLagSeconds | int | quote }}
{{- end }}
{{- end }}
STREAMFLOW_API_DEADLINE_S: {{ .deadlineSeconds | int | quote }}
STREAMFLOW_API_KEEP_ALIVE_S: {{ .keepAliveSeconds | int | quote }}
{{- if .auth.existingSecret }}
STREAMFLOW_API_KEYS_DIR: {{ include "streamflow.api.keys" $ }}
{{- end }}
STREAMFLOW_API_RATE_PER_S: {{ include "streamflow.text" .rateLimit.perSecond | quote }}
STREAMFLOW_API_RATE_BURST: {{ .rateLimit.burst | int | quote }}
{{- include "streamflow.tracing.env" $ | nindent 0 }}
{{- range $name, $value := .settings }}
STREAMFLOW_API_{{ $name }}: {{ include "streamflow.text" $value | quote }}
{{- end }}
{{- end -}}
{{- end }}

{{/* "true" when features are read from replicas, else empty. */}}
{{- define "streamflow.api.replicas" -}}
{{- with .Values.api -}}
{{- if and .enabled (or .postgres.readHost .postgres.readHostKey) -}}true{{- end -}}
{{- end -}}
{{- end }}

{{/* An API pod's variables: libpq's, and the replica's host where it is in the Secret. */}}
{{- define "streamflow.api.env" -}}
{{ include "streamflow.postgres.env" (dict "root" . "role" "reader") }}
{{- with .Values.api.postgres.readHostKey }}
- name: STREAMFLOW_API_READ_HOST
  valueFrom:
    secretKeyRef:
      name: {{ include "streamflow.postgres.secret" $ | quote }}
      key: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Connections that an API pod may have to the primary. */}}
{{- define "streamflow.api.connections" -}}
{{- /* Beside those of requests: one for readiness, one that asks, one that listens. With a replica two for the
catalog and the ledger, one that asks, one that listens. */ -}}
{{- include "streamflow.api.replicas" . | empty | ternary (int .Values.api.poolSize | add 3) 4 -}}
{{- end }}

{{/* Where a pod has the keys of callers: a folder, since a single file would never change. */}}
{{- define "streamflow.api.keys" -}}/etc/streamflow/api-keys{{- end }}

{{/* The fewest pods there are when all is well. */}}
{{- define "streamflow.api.fewest" -}}
{{- .Values.api.autoscaling.enabled | ternary .Values.api.autoscaling.minReplicas .Values.api.replicaCount | int -}}
{{- end }}

{{/* Where the cluster finds the API. */}}
{{- define "streamflow.api.url" -}}
http://{{ include "streamflow.api.name" . }}.{{ .Release.Namespace }}
{{- if ne (int .Values.api.service.port) 80 }}:{{ int .Values.api.service.port }}{{ end }}
{{- end }}
