{{/*
A feature repository of a person's own, at /definitions of what reads it: files of a ConfigMap, which are mounted one by
one (a ConfigMap that is mounted whole has each file twice, in hidden folders, and Feast would read both), or a folder of
an image or of a git commit, which a container that runs first fetches into the pod.
*/}}

{{/* Where it comes from, as values that only one of may be given: a list of paths below `definitions`. */}}
{{- define "streamflow.definitions.ways" -}}
{{- with .Values.definitions -}}
{{- $ways := list -}}
{{- if .files }}{{ $ways = append $ways "files" }}{{ end -}}
{{- if .existingConfigMap }}{{ $ways = append $ways "existingConfigMap" }}{{ end -}}
{{- if .image.repository }}{{ $ways = append $ways "image.repository" }}{{ end -}}
{{- if .git.repository }}{{ $ways = append $ways "git.repository" }}{{ end -}}
{{- toYaml $ways -}}
{{- end -}}
{{- end }}

{{/* "true" where there is one, else empty. */}}
{{- define "streamflow.definitions.own" -}}
{{- if include "streamflow.definitions.ways" . | fromYamlArray }}true{{ end -}}
{{- end }}

{{/* "true" where it is fetched into each pod, else empty. */}}
{{- define "streamflow.definitions.fetched" -}}
{{- with .Values.definitions }}{{ if or .image.repository .git.repository }}true{{ end }}{{ end -}}
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

{{/* The mounts of what reads them, as a list. */}}
{{- define "streamflow.definitions.mounts" -}}
{{- $mounts := list -}}
{{- if include "streamflow.definitions.fetched" . -}}
{{- $mounts = append $mounts (dict "name" "definitions" "mountPath" "/definitions" "subPath" "definitions" "readOnly" true) -}}
{{- else if include "streamflow.definitions.own" . -}}
{{- range include "streamflow.definitions.files" . | fromYamlArray -}}
{{- $mounts = append $mounts (dict "name" "definitions" "mountPath" (printf "/definitions/%s" .) "subPath" . "readOnly" true) -}}
{{- end -}}
{{- end -}}
{{- toYaml $mounts -}}
{{- end }}

{{/* The volumes of a pod with what reads them, as a list. */}}
{{- define "streamflow.definitions.volumes" -}}
{{- $volumes := list -}}
{{- if include "streamflow.definitions.fetched" . -}}
{{- $volumes = append $volumes (dict "name" "definitions" "emptyDir" dict) -}}
{{- with .Values.definitions.git.existingSecret -}}
{{- $volumes = append $volumes (dict "name" "git-credentials" "secret" (dict "secretName" . "defaultMode" 288)) -}}
{{- end -}}
{{- else if include "streamflow.definitions.own" . -}}
{{- $volumes = append $volumes (dict "name" "definitions" "configMap" (dict "name" (include "streamflow.definitions.name" .))) -}}
{{- end -}}
{{- toYaml $volumes -}}
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

{{/*
The container that fetches them, as a list; empty where they need not be. It sees nothing of the database, and it alone
sees the credentials for git. Call with root, part, resources (text), and optionally applies: true for what applies
them, which wants the branch or tag to be at the commit. The others take the commit, wherever the branch is by then.
*/}}
{{- define "streamflow.definitions.container" -}}
{{- $root := .root -}}
{{- if include "streamflow.definitions.fetched" .root }}
- name: definitions
  {{- with .root.Values.definitions.image }}
  {{- if .repository }}
  image: {{ include "streamflow.image" (dict "image" . "registry" "" "tag" "") | quote }}
  command:
    - sh
    - -c
    - |
      {{- $root.Files.Get "files/copy_definitions.sh" | trim | nindent 6 }}
    - copy_definitions
  args: [{{ include "streamflow.literal" .path | quote }}, /fetched/definitions]
  {{- end }}
  {{- end }}
  {{- with .root.Values.definitions.git }}
  {{- if .repository }}
  image: {{ include "streamflow.jobs.image" $root | quote }}
  {{- $args := list "fetch-definitions" .repository (printf "--commit=%s" .commit) "--out=/fetched/definitions" -}}
  {{- with .path }}{{ $args = append $args (printf "--path=%s" .) }}{{ end -}}
  {{- if and .ref $.applies }}{{ $args = append $args (printf "--ref=%s" .ref) }}{{ end -}}
  {{- if .existingSecret }}{{ $args = append $args "--credentials=/etc/streamflow/git" }}{{ end }}
  args:
    {{- range $args }}
    - {{ include "streamflow.literal" . | quote }}
    {{- end }}
  env:
    {{- $own := printf "- name: STREAMFLOW_WAIT_S\n  value: %q" ($root.Values.jobs.waitSeconds | int | toString) }}
    {{- include "streamflow.env" (dict "root" $root "part" $.part "own" $own "reads" false) | nindent 4 }}
  {{- with (index $root.Values $.part).extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- end }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  resources:
    {{- .resources | nindent 4 }}
  securityContext:
    {{- include "streamflow.container.security" (dict "root" .root "part" .part) | nindent 4 }}
  volumeMounts:
    {{- $mounts := list (dict "name" "definitions" "mountPath" "/fetched") -}}
    {{- if .root.Values.definitions.image.repository }}
    {{- toYaml $mounts | nindent 4 }}
    {{- else }}
    {{- if .root.Values.definitions.git.existingSecret -}}
    {{- $mounts = append $mounts (dict "name" "git-credentials" "mountPath" "/etc/streamflow/git" "readOnly" true) -}}
    {{- end }}
    {{- include "streamflow.mounts" (dict "root" .root "part" .part "own" $mounts "reads" false) | nindent 4 }}
    {{- end }}
{{- end }}
{{- end }}
