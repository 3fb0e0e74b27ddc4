{{/* Materializations from a lake that is not there, and settings of Spark that the chart has itself. */}}

{{- define "streamflow.validate.spark" -}}
{{- with .Values.jobs.materialize -}}
{{- if and .enabled (eq .from "lake") (not $.Values.jobs.lake.url) }}
- jobs.materialize.from is lake, and there is none: set jobs.lake.url, or jobs.materialize.from=database
{{- end }}
{{- range $index, $backfill := .backfills -}}
{{- include "streamflow.validate.fromLake" (dict "root" $ "here" (printf "jobs.materialize.backfills[%d]" $index) "from" .from) -}}
{{- end -}}
{{- end -}}
{{- with .Values.jobs.spark -}}
{{- if .enabled -}}
{{- if not (include "streamflow.materialize.fromLake" $) }}
- jobs.spark is on, but nothing is materialized from the lake: set jobs.materialize.from=lake, or from of an entry of jobs.materialize.backfills
{{- end }}
{{- include "streamflow.validate.amount" (dict "here" "jobs.spark.cpu" "name" "cpu" "amount" .cpu) -}}
{{- if lt (float64 (include "streamflow.quantity" .memory)) 1073741824.0 }}
- jobs.spark.memory is {{ include "streamflow.text" .memory }}, and half of it too little for Java: set it to 1Gi or more
{{- end }}
{{- $limit := dig "limits" "memory" "" (include "streamflow.job.resources" (dict "root" $ "kind" "materialize") | fromYaml) -}}
{{- if $limit -}}
{{- if lt (float64 (include "streamflow.quantity" $limit)) 1073741824.0 }}
- jobs.materialize.resources or jobs.resources has limits.memory {{ include "streamflow.text" $limit }}, and Spark's driver takes 1Gi with its Java: set jobs.materialize.resources.limits.memory to 1Gi or more
{{- end }}
{{- end -}}
{{- $user := get ($.Values.jobs.podSecurityContext | default dict) "runAsUser" -}}
{{- if and $user (ne (int64 $user) 10001) }}
- jobs.podSecurityContext.runAsUser is {{ int64 $user }}, of which the image with Spark has no name, without which Java does not begin: leave it at 10001, or let the cluster choose (null, as on OpenShift)
{{- end }}
{{- range $name, $value := .conf -}}
{{- include "streamflow.validate.sparkSetting" (dict "root" $ "name" $name "value" (include "streamflow.text" $value)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Spark's settings that are not a person's, by what has them instead. */}}
{{- define "streamflow.spark.taken" -}}
{{- $own := dict -}}
{{- range $name, $_ := include "streamflow.spark.conf" . | fromYaml }}{{ $_ := set $own $name "the chart's own" }}{{ end -}}
{{- range list "spark.app.name" "spark.ui.enabled" "spark.ui.showConsoleProgress" "spark.submit.deployMode" "spark.driver.host" "spark.driver.bindAddress" "spark.kubernetes.driver.pod.name" "spark.kubernetes.driver.master" -}}
{{- $_ := set $own . "the chart's own" -}}
{{- end -}}
{{- range list "spark.executor.memory" "spark.executor.memoryOverhead" "spark.executor.memoryOverheadFactor" "spark.kubernetes.memoryOverheadFactor" "spark.executor.pyspark.memory" "spark.memory.offHeap.size" -}}
{{- $_ := set $own . "jobs.spark.memory" -}}
{{- end -}}
{{- $_ := set $own "spark.executor.instances" "jobs.spark.executors" -}}
{{- $_ := set $own "spark.executor.cores" "jobs.spark.cores" -}}
{{- $_ := set $own "spark.kubernetes.executor.request.cores" "jobs.spark.cpu" -}}
{{- $_ := set $own "spark.kubernetes.container.image" "jobs.spark.image" -}}
{{- $_ := set $own "spark.kubernetes.executor.container.image" "jobs.spark.image" -}}
{{- toYaml $own -}}
{{- end }}

{{/* Call with root, name and value (text). */}}
{{- define "streamflow.validate.sparkSetting" -}}
{{- $own := include "streamflow.spark.taken" .root | fromYaml -}}
{{- if hasKey $own .name }}
- jobs.spark.conf has {{ .name }}, which is {{ get $own .name }}: leave it out
{{- else if and (has .name (list "spark.dynamicAllocation.enabled" "spark.speculation")) (eq (lower .value) "true") }}
- jobs.spark.conf has {{ .name }}, with which there would be more executors or tasks than are counted: leave it out
{{- else if and (eq .name "spark.sql.session.timeZone") (ne .value "UTC") }}
- jobs.spark.conf has {{ .name }}, which has to be UTC, in which all times here are: leave it out
{{- else if regexMatch "(?i)password|secret|token|access.?key" .name }}
- jobs.spark.conf has {{ .name }}, which Spark would show in its logs and whoever reads ConfigMaps would see: give it by jobs.lake.envFrom or jobs.extraEnvFrom
{{- end }}
{{- end }}
