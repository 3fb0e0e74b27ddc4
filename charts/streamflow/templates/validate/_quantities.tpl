{{/*
An amount as Kubernetes has it (500m, 1Gi, 1e3, 0.5) as a plain number of cores or bytes, so that two can
be compared: `float64 (include "streamflow.quantity" "1Gi")`.
*/}}
{{- define "streamflow.quantity" -}}
{{- $text := include "streamflow.text" . -}}
{{- $suffix := regexFind "([KMGTPE]i|[numkMGTPE])$" $text -}}
{{- $number := trimSuffix $suffix $text -}}
{{- if regexMatch "[eE][-+]?[0-9]+$" $text -}}
{{- $suffix = "" -}}
{{- $number = $text -}}
{{- end -}}
{{- $powers := dict "n" "1e-9" "u" "1e-6" "m" "1e-3" "" "1" "k" "1e3" "M" "1e6" "G" "1e9" "T" "1e12" "P" "1e15" "E" "1e18" -}}
{{- $power := get $powers $suffix -}}
{{- range $index, $letter := list "K" "M" "G" "T" "P" "E" -}}
{{- if eq $suffix (printf "%si" $letter) }}{{ $power = printf "%d" (int64 (include "streamflow.power" (add1 $index))) }}{{ end -}}
{{- end -}}
{{- printf "%.12f" (mulf (float64 $number) (float64 $power)) -}}
{{- end }}

{{/* 1024 to a power from 1 to 6. */}}
{{- define "streamflow.power" -}}
{{- $found := int64 1 -}}
{{- range until (int .) }}{{ $found = mul $found 1024 }}{{ end -}}
{{- $found -}}
{{- end }}

{{/* All blocks of resources, by where they are. */}}
{{- define "streamflow.resources.all" -}}
{{- $all := dict -}}
{{- range list "api" "explorer" "jobs" "feast" "prefect" "postgres" -}}
{{- $_ := set $all . (index $.Values .).resources -}}
{{- end -}}
{{- if include "streamflow.flows.on" . }}{{ $_ := set $all "prefect.deployments" .Values.prefect.deployments.resources }}{{ end -}}
{{- range $job, $values := .Values.jobs -}}
{{- if kindIs "map" $values -}}
{{- if hasKey $values "resources" }}{{ $_ := set $all (printf "jobs.%s" $job) $values.resources }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $what, $resources := $all }}{{ if not $resources }}{{ $_ := unset $all $what }}{{ end }}{{ end -}}
{{- toYaml $all -}}
{{- end }}

{{- define "streamflow.validate.quantities" -}}
{{- range $here, $share := dict "jobs.audit.threshold" .Values.jobs.audit.threshold "tracing.ratio" .Values.tracing.ratio -}}
{{- if gt (include "streamflow.text" $share | float64) 1.0 }}
- {{ $here }} is {{ include "streamflow.text" $share }}, a share above 1: set it from 0 to 1
{{- end }}
{{- end -}}
{{- range $what, $resources := include "streamflow.resources.all" . | fromYaml -}}
{{- $limits := $resources.limits | default dict -}}
{{- $requests := $resources.requests | default dict -}}
{{- range $side, $amounts := dict "requests" $requests "limits" $limits -}}
{{- range $name, $amount := $amounts -}}
{{- include "streamflow.validate.amount" (dict "here" (printf "%s.resources.%s.%s" $what $side $name) "name" $name "amount" $amount) -}}
{{- end -}}
{{- end -}}
{{- range $name, $request := $requests -}}
{{- $limit := get $limits $name -}}
{{- if or (contains "/" $name) (hasPrefix "hugepages-" $name) -}}
{{- if or (not (hasKey $limits $name)) (ne (include "streamflow.quantity" $request) (include "streamflow.quantity" (default 0 $limit))) }}
- {{ $what }}.resources.requests.{{ $name }} is {{ include "streamflow.text" $request }}, which cannot be shared and needs the same limit: set {{ $what }}.resources.limits.{{ $name }} to it
{{- end -}}
{{- else if hasKey $limits $name -}}
{{- if gt (float64 (include "streamflow.quantity" $request)) (float64 (include "streamflow.quantity" $limit)) }}
- {{ $what }}.resources.requests.{{ $name }} ({{ include "streamflow.text" $request }}) is above {{ $what }}.resources.limits.{{ $name }} ({{ include "streamflow.text" $limit }}): raise the limit or lower the request
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.postgres -}}
{{- if not .external.enabled -}}
{{- include "streamflow.validate.amount" (dict "here" "postgres.shmSize" "name" "memory" "amount" .shmSize) -}}
{{- if .persistence.enabled -}}
{{- include "streamflow.validate.amount" (dict "here" "postgres.persistence.size" "name" "storage" "amount" .persistence.size) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $claims := list -}}
{{- if and (include "streamflow.backup.on" .) (not .Values.jobs.backup.to) }}{{ $claims = append $claims "backup" }}{{ end -}}
{{- if include "streamflow.trainingSet.volume" . }}{{ $claims = append $claims "trainingSet" }}{{ end -}}
{{- range $job := $claims -}}
{{- $size := (index $.Values.jobs $job).persistence.size -}}
{{- include "streamflow.validate.amount" (dict "here" (printf "jobs.%s.persistence.size" $job) "name" "storage" "amount" $size) -}}
{{- end -}}
{{- end }}

{{/* An amount that Kubernetes takes and nobody means. Call with here, name and amount. */}}
{{- define "streamflow.validate.amount" -}}
{{- $text := include "streamflow.text" .amount -}}
{{- $amount := float64 (include "streamflow.quantity" .amount) -}}
{{- if has .name (list "memory" "ephemeral-storage" "storage") -}}
{{- if lt $amount 1048576.0 }}
- {{ .here }} is {{ $text }}, {{ if hasSuffix "m" $text }}in thousandths of a byte{{ else }}in bytes{{ end }} and less than a mebibyte: write it like 256Mi or 8Gi
{{- end -}}
{{- else if eq .name "cpu" -}}
{{- if lt $amount 0.001 }}
- {{ .here }} is {{ $text }}, less than 1m, a thousandth of a core: write it like 250m or 2
{{- else if gt $amount 10000.0 }}
- {{ .here }} is {{ $text }}, more cores than any node has: write it like 250m or 2
{{- end -}}
{{- end -}}
{{- end }}
