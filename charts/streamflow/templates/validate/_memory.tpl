{{/*
An amount of memory as PostgreSQL has it (256MB, 1GB, 65536) in MiB. Call with amount, and unit: the
bytes in which a number alone counts.
*/}}
{{- define "streamflow.postgres.mebibytes" -}}
{{- $text := include "streamflow.text" .amount | trim -}}
{{- $unit := regexFind "[a-zA-Z]+$" $text -}}
{{- $number := trimSuffix $unit $text | trim | float64 -}}
{{- $bytes := dict "B" 1 "kB" 1024 "MB" 1048576 "GB" 1073741824 "TB" 1099511627776 | merge (dict "" .unit) -}}
{{- divf (mulf $number (get $bytes $unit | default 1 | float64)) 1048576.0 | ceil | int64 -}}
{{- end }}

{{/*
What the bundled server may hold at most, in MiB: an entry for each thing, by how it comes about.
A connection holds about 5 MiB besides what it sorts in. Jobs sort and hash in 64 MB each time, of
which four may go on at once.
*/}}
{{- define "streamflow.postgres.memory" -}}
{{- $set := .Values.postgres.parameters | default dict -}}
{{- $mebibytes := dict -}}
{{- range $name, $default := dict "shared_buffers" (list "128MB" 8192) "work_mem" (list "4MB" 1024) "maintenance_work_mem" (list "64MB" 1024) -}}
{{- $of := dict "amount" (get $set $name | default (first $default)) "unit" (last $default) -}}
{{- $_ := set $mebibytes $name (include "streamflow.postgres.mebibytes" $of | int64) -}}
{{- end -}}
{{- $connections := dig "max_connections" 100 $set | int64 -}}
{{- $shm := divf (float64 (include "streamflow.quantity" .Values.postgres.shmSize)) 1048576.0 | ceil | int64 -}}
{{- $vacuums := dig "autovacuum_max_workers" 3 $set | int64 -}}
shared_buffers: {{ $mebibytes.shared_buffers }}
postgres.shmSize: {{ $shm }}
{{ printf "%d connections of work_mem + 5Mi" $connections }}: {{ add $mebibytes.work_mem 5 | mul $connections }}
{{ printf "%d vacuums of maintenance_work_mem" $vacuums }}: {{ mul $vacuums $mebibytes.maintenance_work_mem }}
sorting of jobs: 256
{{- end }}

{{- define "streamflow.validate.memory" -}}
{{- $unread := false -}}
{{- range $name := list "shared_buffers" "work_mem" "maintenance_work_mem" -}}
{{- $text := get ($.Values.postgres.parameters | default dict) $name | include "streamflow.text" -}}
{{- if and (ne $text "null") (not (regexMatch "^ *[0-9]+(\\.[0-9]+)? *(B|kB|MB|GB|TB)? *$" $text)) }}
{{- $unread = true }}
- postgres.parameters.{{ $name }} is {{ $text }}, which PostgreSQL does not read as memory: write it like 256MB or 1GB
{{- end -}}
{{- end -}}
{{- $limit := dig "limits" "memory" "" (.Values.postgres.resources | default dict) -}}
{{- /* Less than a mebibyte is refused elsewhere, for what it is. */ -}}
{{- $isAmount := $limit | and (ge (float64 (include "streamflow.quantity" (default 0 $limit))) 1048576.0) -}}
{{- if and $isAmount (not $unread) (not .Values.postgres.external.enabled) -}}
{{- $needed := int64 0 -}}
{{- $parts := list -}}
{{- range $what, $mebibytes := include "streamflow.postgres.memory" . | fromYaml -}}
{{- $needed = add $needed (int64 $mebibytes) -}}
{{- $parts = append $parts (printf "%s %dMi" $what (int64 $mebibytes)) -}}
{{- end -}}
{{- if gt (mulf $needed 1048576.0) (float64 (include "streamflow.quantity" $limit)) }}
- postgres.resources.limits.memory is {{ include "streamflow.text" $limit }}, but the server may hold {{ $needed }}Mi ({{ join ", " $parts }}), and is killed for it: set it to {{ $needed }}Mi or more, or lower these in postgres.parameters
{{- end -}}
{{- end -}}
{{- end }}
