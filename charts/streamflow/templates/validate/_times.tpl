{{/* Times that contradict each other: deadlines, windows, scrapes. */}}

{{- define "streamflow.validate.times" -}}
{{- $jobs := .Values.jobs -}}
{{- $waits := int64 $jobs.waitSeconds -}}
{{- if include "streamflow.spark.on" . }}{{ $waits = add $waits (int64 $jobs.spark.waitSeconds) }}{{ end -}}
{{- if include "streamflow.prefect.url" . }}{{ $waits = add $waits (int64 .Values.prefect.waitSeconds) }}{{ end -}}
{{- $deadlines := dict "jobs.activeDeadlineSeconds" (int64 $jobs.activeDeadlineSeconds) -}}
{{- range $kind, $values := $jobs -}}
{{- if kindIs "map" $values -}}
{{- with $values.activeDeadlineSeconds }}{{ $_ := set $deadlines (printf "jobs.%s.activeDeadlineSeconds" $kind) (int64 .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $name, $seconds := $deadlines -}}
{{- if le (int64 $seconds) $waits }}
- {{ $name }} ({{ $seconds }}) stops a Job that only waits: set it above jobs.waitSeconds + prefect.waitSeconds{{ if include "streamflow.spark.on" $ }} + jobs.spark.waitSeconds{{ end }}, to {{ add1 $waits }} at the least
{{- end -}}
{{- end }}
{{- $windows := dict -}}
{{- range $index, $backfill := $jobs.materialize.backfills -}}
{{- $here := printf "jobs.materialize.backfills[%d]" $index -}}
{{- $bounds := dict -}}
{{- range $side := list "start" "end" -}}
{{- with get $backfill $side -}}
{{- $instant := include "streamflow.instant" . -}}
{{- if not $instant }}
- {{ $here }}: {{ $side }} {{ . }} is no time of the calendar; write it like 2024-01-31 or 2024-01-31T00:00:00Z
{{- else }}{{ $_ := set $bounds $side (float64 $instant) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if eq (len $bounds) 2 -}}
{{- if ge $bounds.start $bounds.end }}
- {{ $here }} ends before it starts ({{ $backfill.start }} to {{ $backfill.end }}), so that it would do nothing: exchange the two or correct one
{{- end }}
{{- end -}}
{{- $runs := include "streamflow.backfill.args" $backfill -}}
{{- if hasKey $windows $runs }}
- {{ $here }} is there twice; remove one of the two, or give it another revision
{{- end }}
{{- $_ := set $windows $runs true -}}
{{- end -}}
{{- with .Values.metrics.serviceMonitor -}}
{{- if and (include "streamflow.metrics.on" (dict "root" $ "enabled" .enabled "kind" "ServiceMonitor")) (gt (include "streamflow.milliseconds" .scrapeTimeout | int64) (include "streamflow.milliseconds" .interval | int64)) }}
- metrics.serviceMonitor.scrapeTimeout ({{ .scrapeTimeout }}) is longer than metrics.serviceMonitor.interval ({{ .interval }}): raise the interval or lower the timeout
{{- end }}
{{- end -}}
{{- end }}

{{/* An instant as seconds since 1970, UTC where it names no zone; empty where there is no such time. */}}
{{- define "streamflow.instant" -}}
{{- $form := "^([0-9-]{10})([T ]([0-9:]{5})(:[0-9]{2})?([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?)?$" -}}
{{- if regexMatch $form . -}}
{{- $time := regexReplaceAll $form . "${3}" | default "00:00" -}}
{{- $text := printf "%sT%s%s" (substr 0 10 .) $time (regexReplaceAll $form . "${4}" | default ":00") -}}
{{- $parsed := toDate "2006-01-02T15:04:05Z07:00" (printf "%sZ" $text) -}}
{{- if eq $text (dateInZone "2006-01-02T15:04:05" $parsed "UTC") -}}
{{- $zone := regexReplaceAll $form . "${6}" | trimPrefix "Z" -}}
{{- $shift := 0 -}}
{{- if $zone -}}
{{- $shift = add (mul 60 (substr 1 3 $zone | trimPrefix "0" | int)) (substr 4 6 $zone | trimPrefix "0" | int) | mul 60 -}}
{{- if hasPrefix "-" $zone }}{{ $shift = mul -1 $shift }}{{ end -}}
{{- end -}}
{{- $fraction := regexReplaceAll $form . "${5}" | default "0" -}}
{{- printf "%f" (subf (addf (unixEpoch $parsed | float64) (float64 $fraction)) (float64 $shift)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* A duration of Prometheus (1m30s) as milliseconds. */}}
{{- define "streamflow.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 -}}
{{- $sum := int64 0 -}}
{{- range regexFindAll "[0-9]+(ms|[smhdwy])" . -1 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $sum = add $sum (mul (trimSuffix $unit . | int64) (get $units $unit)) -}}
{{- end -}}
{{- $sum -}}
{{- end }}
