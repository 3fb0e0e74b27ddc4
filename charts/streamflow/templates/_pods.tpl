{{/* What the pods of all parts have in common, in the order in which a pod's fields follow. */}}

{{/*
Labels and annotations of a part's pods. Call with root, part and optionally annotations (a dict) and labels (text).
*/}}
{{- define "streamflow.pod.metadata" -}}
{{- $part := index .root.Values .part -}}
labels:
  {{- include "streamflow.selectorLabels" . | nindent 2 }}
  {{- with .labels }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "streamflow.texts" $part.podLabels }}
  {{- . | nindent 2 }}
  {{- end }}
{{- with merge (deepCopy ($part.podAnnotations | default dict)) (.annotations | default dict) }}
annotations:
  {{- include "streamflow.texts" . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
Who a part's pods are and where they may run. Call with root, part and optionally beside (a term of
pod affinity, which holds besides the part's own) and account (a ServiceAccount whose token is mounted, instead of the
part's).
*/}}
{{- define "streamflow.pod.spec" -}}
{{- $part := index .root.Values .part -}}
serviceAccountName: {{ .account | default (include "streamflow.serviceAccount" .) | quote }}
automountServiceAccountToken: {{ not (empty .account) }}
# The variables of a Service called streamflow-api would begin like the settings of the API.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml ($part.podSecurityContext | default dict) | nindent 2 }}
{{- with include "streamflow.texts" $part.nodeSelector }}
nodeSelector:
  {{- . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := deepCopy ($part.affinity | default dict) -}}
{{- with .beside -}}
{{- $pods := $affinity.podAffinity | default dict -}}
{{- $terms := $pods.requiredDuringSchedulingIgnoredDuringExecution | default list -}}
{{- $_ := set $pods "requiredDuringSchedulingIgnoredDuringExecution" (append $terms .) -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- end -}}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The security context of a part's containers. Call with root and part. */}}
{{- define "streamflow.container.security" -}}
{{- (index .root.Values .part).containerSecurityContext | default dict | toYaml -}}
{{- end }}

{{/*
A person's containers that run before those of a part, as a list: those that end, and those that go on
beside the others. Call with root and part.
*/}}
{{- define "streamflow.containers.first" -}}
{{- $part := index .root.Values .part -}}
{{- $all := list -}}
{{- range $part.initContainers }}{{ $all = append $all . }}{{ end -}}
{{- range $part.sidecars }}{{ $all = append $all (merge (dict "restartPolicy" "Always") .) }}{{ end -}}
{{- $written := list -}}
{{- range $all -}}
{{- $env := hasKey . "env" | ternary (dict "env" (include "streamflow.env.texts" .env | fromYamlArray)) dict -}}
{{- $written = append $written (merge $env .) -}}
{{- end -}}
{{- with $written }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/* REPOSITORY:TAG or REPOSITORY@DIGEST. Call with image, registry and tag (the default one). */}}
{{- define "streamflow.image" -}}
{{- with .registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ include "streamflow.text" (.image.tag | default .tag) }}{{ end }}
{{- end }}

{{- define "streamflow.api.image" -}}
{{ include "streamflow.image" (dict "image" .Values.api.image "registry" .Values.image.registry "tag" .Chart.AppVersion) }}
{{- end }}
{{- define "streamflow.explorer.image" -}}
{{ include "streamflow.image" (dict "image" .Values.explorer.image "registry" .Values.image.registry "tag" .Chart.AppVersion) }}
{{- end }}
{{- define "streamflow.jobs.image" -}}
{{ include "streamflow.image" (dict "image" .Values.jobs.image "registry" .Values.image.registry "tag" .Chart.AppVersion) }}
{{- end }}
{{- define "streamflow.postgres.image" -}}
{{ include "streamflow.image" (dict "image" .Values.postgres.image "registry" .Values.postgres.image.registry "tag" "18") }}
{{- end }}

{{/*
"true" for what reads the definitions, else empty. Call with root, part, and optionally reads: false for a
container that does not, though its part does.
*/}}
{{- define "streamflow.reads" -}}
{{- if and (has .part (list "jobs" "feast")) (dig "reads" true (omit . "root")) }}true{{ end -}}
{{- end }}

{{/*
A list of variables: `own` (text) and, for who reads them, those of the definitions, without what the
part's extraEnv sets, then extraEnv, so that no name is there twice. Call with root, part, own and
optionally reads, as streamflow.reads.
*/}}
{{- define "streamflow.env" -}}
{{- $extra := (index .root.Values .part).extraEnv | default list -}}
{{- $set := dict -}}
{{- range $extra }}{{ $_ := set $set .name true }}{{ end -}}
{{- $own := fromYamlArray .own -}}
{{- if include "streamflow.reads" . -}}
{{- $own = concat $own (include "streamflow.definitions.env" .root | fromYamlArray) -}}
{{- end -}}
{{- $env := list -}}
{{- range $own }}{{ if not (hasKey $set .name) }}{{ $env = append $env . }}{{ end }}{{ end -}}
{{- with concat $env (include "streamflow.env.texts" $extra | fromYamlArray) }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* A list of variables, each value as the text that it has to be. */}}
{{- define "streamflow.env.texts" -}}
{{- $env := list -}}
{{- range . -}}
{{- $value := hasKey . "value" | ternary (dict "value" (include "streamflow.text" .value)) dict -}}
{{- $env = append $env (merge $value .) -}}
{{- end -}}
{{- toYaml $env -}}
{{- end }}

{{/* Mounts of a part's containers. Call with root, part and optionally own (a list) and reads, as streamflow.reads. */}}
{{- define "streamflow.mounts" -}}
{{- $mounts := list (dict "name" "tmp" "mountPath" "/tmp") -}}
{{- if include "streamflow.postgres.ca.volume" .root | and (ne .part "postgres") -}}
{{- $mounts = append $mounts (dict "name" "postgres-ca" "mountPath" "/etc/streamflow/postgres-ca" "readOnly" true) -}}
{{- end -}}
{{- if include "streamflow.reads" . -}}
{{- $mounts = concat $mounts (include "streamflow.definitions.mounts" .root | fromYamlArray) -}}
{{- end -}}
{{- toYaml (concat $mounts (.own | default list) ((index .root.Values .part).extraVolumeMounts | default list)) }}
{{- end }}

{{/* Volumes of a part's pods. Call with root, part and optionally own (a list) and reads, as streamflow.reads. */}}
{{- define "streamflow.volumes" -}}
{{- $volumes := list (dict "name" "tmp" "emptyDir" dict) -}}
{{- if ne .part "postgres" -}}
{{- with include "streamflow.postgres.ca.volume" .root }}{{ $volumes = append $volumes (fromYaml .) }}{{ end -}}
{{- end -}}
{{- if include "streamflow.reads" . -}}
{{- $volumes = concat $volumes (include "streamflow.definitions.volumes" .root | fromYamlArray) -}}
{{- end -}}
{{- toYaml (concat $volumes (.own | default list) ((index .root.Values .part).extraVolumes | default list)) }}
{{- end }}

{{/* A number, boolean or string as plain text: 1048576 stays 1048576. */}}
{{- define "streamflow.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* A map with all values as texts, which labels and annotations have to be; empty for none. */}}
{{- define "streamflow.texts" -}}
{{- $texts := dict -}}
{{- range $name, $value := . }}{{ $_ := set $texts $name (include "streamflow.text" $value) }}{{ end -}}
{{- with $texts }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/*
A person's text for an argument or a variable: the kubelet reads $(NAME) as the variable of that name, a
password's included, and $$ as $.
*/}}
{{- define "streamflow.literal" -}}
{{- toString . | replace "$" "$$" -}}
{{- end }}

{{/* The part's own ServiceAccount, unless an existing one is used. Call with root and part. */}}
{{- define "streamflow.serviceAccount.manifest" -}}
{{- $account := (index .root.Values .part).serviceAccount -}}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "streamflow.serviceAccount" . | quote }}
  labels:
    {{- include "streamflow.labels" . | nindent 4 }}
  {{- with include "streamflow.texts" $account.annotations }}
  annotations:
    {{- . | nindent 4 }}
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
