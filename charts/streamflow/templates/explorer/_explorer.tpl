{{/* The settings of explorer/settings.py, as its variables. */}}
{{- define "streamflow.explorer.settings" -}}
{{- with .Values.explorer -}}
STREAMFLOW_EXPLORER_SHOW_USERS: {{ .showUsers | quote }}
STREAMFLOW_EXPLORER_POOL_SIZE: {{ .poolSize | int | quote }}
STREAMFLOW_EXPLORER_STATEMENT_TIMEOUT_S: {{ .statementTimeoutSeconds | int | quote }}
{{- with $.Values.api.project }}
STREAMFLOW_EXPLORER_PROJECT: {{ . | quote }}
{{- end }}
{{- if $.Values.api.enabled }}
STREAMFLOW_EXPLORER_API_URL: {{ include "streamflow.api.url" $ | quote }}
{{- end }}
{{- range $name, $value := .settings }}
STREAMFLOW_EXPLORER_{{ $name }}: {{ include "streamflow.text" $value | quote }}
{{- end }}
{{- end -}}
{{- end }}
