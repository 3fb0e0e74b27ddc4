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
{{- if include "streamflow.explorer.keys" $ }}
STREAMFLOW_EXPLORER_API_KEYS_DIR: {{ include "streamflow.api.keys" $ }}
{{- end }}
{{- range $name, $value := .settings }}
STREAMFLOW_EXPLORER_{{ $name }}: {{ include "streamflow.text" $value | quote }}
{{- end }}
{{- end -}}
{{- end }}

{{/* The Secret with the API's keys, where the explorer names them; else empty. */}}
{{- define "streamflow.explorer.keys" -}}
{{- if and .Values.explorer.showKeys .Values.api.enabled }}{{ .Values.api.auth.existingSecret }}{{ end -}}
{{- end }}
