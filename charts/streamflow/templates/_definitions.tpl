{{/*
A feature repository of a person's own, as a ConfigMap whose files are mounted one by one: a ConfigMap that is mounted
whole has each file twice, in hidden folders, and Feast would read both.
*/}}

{{/* "true" where there is one, else empty. */}}
{{- define "streamflow.definitions.own" -}}
{{- with .Values.definitions }}{{ if or .files .existingConfigMap }}true{{ end }}{{ end -}}
{{- end }}

{{/* Where the definitions are in a pod of the jobs image. */}}
{{- define "streamflow.definitions.folder" -}}
{{- if include "streamflow.definitions.own" . }}/definitions{{ else }}/app/feature_repo{{ end -}}
{{- end }}

{{/* The ConfigMap with the files, named by their content: with other files, what reads them is another Job. */}}
{{- define "streamflow.definitions.name" -}}
{{- with .Values.definitions -}}
{{- .existingConfigMap | default (printf "%s-definitions-%s" (include "streamflow.fullname" $) (.files | toJson | sha256sum | trunc 8)) -}}
{{- end -}}
{{- end }}

{{/* The names of the files, as a list. */}}
{{- define "streamflow.definitions.files" -}}
{{- with .Values.definitions -}}
{{- empty .existingConfigMap | ternary (keys .files | sortAlpha) .keys | toYaml -}}
{{- end -}}
{{- end }}

{{/* Their mounts, as a list. */}}
{{- define "streamflow.definitions.mounts" -}}
{{- $mounts := list -}}
{{- if include "streamflow.definitions.own" . -}}
{{- range include "streamflow.definitions.files" . | fromYamlArray -}}
{{- $mounts = append $mounts (dict "name" "definitions" "mountPath" (printf "/definitions/%s" .) "subPath" . "readOnly" true) -}}
{{- end -}}
{{- end -}}
{{- toYaml $mounts -}}
{{- end }}

{{/* Variables of what reads them, as a list. */}}
{{- define "streamflow.definitions.env" -}}
{{- if include "streamflow.definitions.own" . }}
- name: STREAMFLOW_FEATURE_REPO
  value: /definitions
{{- with include "streamflow.text" .Values.definitions.revision }}
- name: STREAMFLOW_DEFINITIONS_REVISION
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
