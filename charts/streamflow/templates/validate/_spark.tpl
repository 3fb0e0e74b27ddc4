{{/* Materializations from a lake that is not there, and settings of Spark that the chart has itself. */}}

{{- define "streamflow.validate.spark" -}}
{{- $lake := .Values.jobs.lake.url -}}
{{- with .Values.jobs.materialize -}}
{{- if and .enabled (eq .from "lake") (not $lake) }}
- jobs.materialize.from is lake, and there is none: set jobs.lake.url, or jobs.materialize.from=database
{{- end }}
{{- range $index, $backfill := .backfills -}}
{{- if and (eq (.from | default "") "lake") (not $lake) }}
- jobs.materialize.backfills[{{ $index }}] is read from the lake, and there is none: set jobs.lake.url, or take from out
{{- end }}
{{- end -}}
{{- end -}}
{{- with .Values.jobs.spark -}}
{{- if .enabled -}}
{{- if not (include "streamflow.materialize.fromLake" $) }}
- jobs.spark is on, but nothing is materialized from the lake: set jobs.materialize.from=lake, or from of an entry of jobs.materialize.backfills
{{- end }}
{{- if lt (float64 (include "streamflow.quantity" .memory)) 1073741824.0 }}
- jobs.spark.memory is {{ include "streamflow.text" .memory }}, and half of it too little for Java: set it to 1Gi or more
{{- end }}
{{- $own := dict "spark.driver.host" "the pod's address" "spark.kubernetes.driver.pod.name" "the pod's name" -}}
{{- range $name, $_ := include "streamflow.spark.conf" $ | fromYaml }}{{ $_ := set $own $name "the chart's own" }}{{ end -}}
{{- $own = merge (dict "spark.executor.instances" "jobs.spark.executors" "spark.executor.cores" "jobs.spark.cores" "spark.executor.memory" "jobs.spark.memory" "spark.executor.memoryOverhead" "jobs.spark.memory" "spark.kubernetes.executor.request.cores" "jobs.spark.cpu" "spark.kubernetes.container.image" "jobs.spark.image") $own -}}
{{- range $name, $value := .conf -}}
{{- if hasKey $own $name }}
- jobs.spark.conf has {{ $name }}, which is {{ get $own $name }}: leave it out
{{- else if has $name (list "spark.dynamicAllocation.enabled" "spark.speculation") }}
{{- if eq (include "streamflow.text" $value) "true" }}
- jobs.spark.conf has {{ $name }}, with which tasks would have more connections to PostgreSQL than are counted: leave it out
{{- end }}
{{- else if and (eq $name "spark.sql.session.timeZone") (ne $value "UTC") }}
- jobs.spark.conf has {{ $name }}, which has to be UTC, in which all times here are: leave it out
{{- else if contains "PGPASSWORD" (upper $name) }}
- jobs.spark.conf has {{ $name }}, which Spark would show in its logs: executors have the password from its Secret
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
