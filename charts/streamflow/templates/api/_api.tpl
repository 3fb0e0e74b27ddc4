{{/* The settings of api/settings.py, as its variables. */}}
{{- define "streamflow.api.settings" -}}
{{- with .Values.api -}}
STREAMFLOW_API_SERVICE: {{ .defaultService | quote }}
STREAMFLOW_POOL_SIZE: {{ add 1 .poolSize | quote }} {{- /* one more, for readiness */}}
STREAMFLOW_API_DEADLINE_S: {{ .deadlineSeconds | int | quote }}
{{- range $name, $value := .settings }}
STREAMFLOW_API_{{ $name }}: {{ include "streamflow.text" $value | quote }}
{{- end }}
{{- end -}}
{{- end }}

{{/* The fewest pods there are when all is well. */}}
{{- define "streamflow.api.fewest" -}}
{{- .Values.api.autoscaling.enabled | ternary .Values.api.autoscaling.minReplicas .Values.api.replicaCount | int -}}
{{- end }}

{{/* Where the cluster finds the API. */}}
{{- define "streamflow.api.url" -}}
http://{{ include "streamflow.api.name" . }}.{{ .Release.Namespace }}
{{- if ne (int .Values.api.service.port) 80 }}:{{ int .Values.api.service.port }}{{ end }}
{{- end }}
