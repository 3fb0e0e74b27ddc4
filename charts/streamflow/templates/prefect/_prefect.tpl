{{/* "true" when this release runs Prefect's server itself, else empty. */}}
{{- define "streamflow.prefect.own" -}}
{{- if and .Values.prefect.enabled (not .Values.prefect.apiUrl) -}}true{{- end -}}
{{- end }}

{{/* Where the jobs report their runs; empty when they do not. */}}
{{- define "streamflow.prefect.url" -}}
{{- if .Values.prefect.apiUrl -}}
{{ .Values.prefect.apiUrl }}
{{- else if .Values.prefect.enabled -}}
http://{{ include "streamflow.prefect.name" . }}:4200/api
{{- end -}}
{{- end }}

{{/*
The variables of Prefect's server. The database in parts, since a password in a URL would have
to be encoded; asyncpg takes TLS from libpq's variables.
*/}}
{{- define "streamflow.prefect.env" -}}
{{ include "streamflow.postgres.env" (dict "root" . "role" "admin") }}
- name: PREFECT_SERVER_DATABASE_DRIVER
  value: postgresql+asyncpg
- name: PREFECT_SERVER_DATABASE_HOST
  value: {{ include "streamflow.postgres.direct" . | default (include "streamflow.postgres.host" .) | include "streamflow.literal" | quote }}
- name: PREFECT_SERVER_DATABASE_PORT
  value: {{ include "streamflow.postgres.direct" . | empty | ternary (include "streamflow.postgres.port" .) (.Values.postgres.external.pooler.direct.port | int | toString) | quote }}
- name: PREFECT_SERVER_DATABASE_NAME
  value: {{ include "streamflow.literal" .Values.prefect.database | quote }}
- name: PREFECT_SERVER_DATABASE_USER
  {{- include "streamflow.postgres.user" . | nindent 2 }}
- name: PREFECT_SERVER_DATABASE_PASSWORD
  {{- include "streamflow.postgres.passwordFrom" . | nindent 2 }}
- name: PREFECT_SERVER_ANALYTICS_ENABLED
  value: "false"
# Where the server unpacks its UI, with the address of the API that the browser uses.
- name: PREFECT_UI_STATIC_DIRECTORY
  value: /tmp/prefect/ui
- name: PREFECT_UI_API_URL
  value: {{ include "streamflow.literal" .Values.prefect.uiApiUrl | quote }}
{{- end }}
