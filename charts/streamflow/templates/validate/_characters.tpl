{{/* Texts with characters that YAML has not, of which toYaml makes nothing at all without a word. */}}
{{- define "streamflow.validate.characters" -}}
{{- if not (toYaml .Values) -}}
{{- include "streamflow.validate.unreadable" (dict "here" "" "value" .Values) -}}
{{- end -}}
{{- end }}

{{/* Call with here (its path) and value. */}}
{{- define "streamflow.validate.unreadable" -}}
{{- if kindIs "slice" .value -}}
{{- range $index, $value := .value -}}
{{- include "streamflow.validate.unreadable" (dict "here" (printf "%s[%d]" $.here $index) "value" $value) -}}
{{- end -}}
{{- else if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- $below := printf "%s.%s" $.here $key | trimPrefix "." -}}
{{- include "streamflow.validate.unreadable" (dict "here" $below "value" $value) -}}
{{- if not (toYaml (dict $key "")) }}
- {{ $.here | default "the values" }} has the key {{ printf "%+q" $key }}, with a control character, which YAML has not: remove it
{{- end }}
{{- end -}}
{{- else if not (toYaml .value) }}
- {{ .here }} is {{ printf "%+q" .value }}, with a control character, which YAML has not: remove it
{{- end -}}
{{- end }}
