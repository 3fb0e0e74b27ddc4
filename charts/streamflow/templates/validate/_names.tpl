{{/* Names that an object cannot have, and two that cannot be the same. */}}

{{- define "streamflow.validate.names" -}}
{{- $fullname := include "streamflow.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) }}
- release {{ .Release.Name }} would have Services called {{ $fullname }}-…, whose names begin with a letter and have neither dots nor capitals: choose another release name, or set fullnameOverride, e.g. to {{ regexReplaceAll "^[^a-z]+" (regexReplaceAll "[^a-z0-9]+" $fullname "-") "" | trimSuffix "-" | default "streamflow" }}
{{- end }}
{{- $templates := list "template0" "template1" -}}
{{- $database := .Values.postgres.auth.database -}}
{{- if has $database $templates }}
- postgres.auth.database is {{ $database }}, of which PostgreSQL makes all others: set it to a name of its own, e.g. streamflow
{{- end }}
{{- if include "streamflow.prefect.own" . -}}
{{- if eq .Values.prefect.database $database }}
- prefect.database and postgres.auth.database are both {{ $database }}, in which Prefect's tables would be among the features', and be lost with their restore: set prefect.database to another name, e.g. prefect
{{- else if has .Values.prefect.database $templates }}
- prefect.database is {{ .Values.prefect.database }}, of which PostgreSQL makes all others: set it to a name of its own, e.g. prefect
{{- end }}
{{- end -}}
{{- if not .Values.postgres.external.enabled -}}
{{- range $name, $_ := .Values.postgres.parameters -}}
{{- if has (lower $name) (list "port" "listen_addresses" "data_directory" "config_file" "hba_file" "ident_file" "unix_socket_directories") }}
- postgres.parameters.{{ $name }} is the chart's own, since probes, Services and volumes follow it: remove it
{{- end }}
{{- end -}}
{{- end -}}
{{- with .Values.api -}}
{{- if and .enabled .podDisruptionBudget.enabled -}}
{{- $most := include "streamflow.text" .podDisruptionBudget.maxUnavailable -}}
{{- if and (hasSuffix "%" $most) (gt (trimSuffix "%" $most | atoi) 100) }}
- api.podDisruptionBudget.maxUnavailable is {{ $most }}, more than all pods: set it to 100% or less, or to a number
{{- end }}
{{- end -}}
{{- if and .enabled .ingress.enabled -}}
{{- $hosts := .ingress.hosts -}}
{{- range .ingress.tls }}{{ $hosts = concat $hosts (.hosts | default list) }}{{ end -}}
{{- range uniq $hosts -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+){3}$" . }}
- api.ingress.hosts has {{ . }}, an address, where an Ingress takes names: give it a name, e.g. features.example.com
{{- end }}
{{- end -}}
{{- if regexMatch "//|/\\.\\.?(/|$)|%2[fF]|\\s" .ingress.path }}
- api.ingress.path is {{ .ingress.path }}, in which an Ingress takes neither //, /./, /../ nor %2F: write it plainly, e.g. /features
{{- end }}
{{- end -}}
{{- end -}}
{{- include "streamflow.validate.files" . -}}
{{- include "streamflow.validate.alerts" . -}}
{{- include "streamflow.validate.extra" . -}}
{{- end }}

{{/* Paths of a person that would lead out of their volume. */}}
{{- define "streamflow.validate.files" -}}
{{- range $index, $month := .Values.jobs.ingest.months -}}
{{- if and (eq $month.source "pvc") (has ".." (splitList "/" ($month.path | default ""))) }}
- jobs.ingest.months[{{ $index }}]: path {{ $month.path }} leads out of the volume; write it from the volume's root, e.g. 2024/month_000
{{- end }}
{{- end -}}
{{- range $index, $dataset := .Values.jobs.trainingSet.datasets -}}
{{- $service := include "streamflow.trainingSet.service" (dict "root" $ "dataset" $dataset) -}}
{{- if not (or $dataset.service $.Values.api.defaultService (not (include "streamflow.definitions.own" $))) }}
- jobs.trainingSet.datasets[{{ $index }}] names no service, and definitions of your own have no churn_v1 that would be meant: set its service, or api.defaultService
{{- end }}
{{- if and (not $dataset.out) (or (contains "/" $service) (eq $service "..")) }}
- jobs.trainingSet.datasets[{{ $index }}] would be the file {{ $service }}_…, since {{ empty $dataset.service | ternary "api.defaultService" "its service" }} is {{ $service }}; a name with a slash is no file's: set out to a URL
{{- end }}
{{- end -}}
{{- end }}

{{/* Alerts by names that there are not. */}}
{{- define "streamflow.validate.alerts" -}}
{{- $names := list -}}
{{- range (.Files.Get "files/rules.yaml" | fromYaml).groups }}{{ range .rules }}{{ $names = append $names .alert }}{{ end }}{{ end -}}
{{- range .Values.metrics.prometheusRule.disabled -}}
{{- if not (has . $names) }}
- metrics.prometheusRule.disabled has {{ . }}, which is no alert; there are {{ join ", " $names }}
{{- end }}
{{- end -}}
{{- if hasKey (.Values.metrics.prometheusRule.alertLabels | default dict) "alertname" }}
- metrics.prometheusRule.alertLabels has alertname, which is each alert's own: take another label
{{- end }}
{{- end }}

{{/* Objects of a person that are there twice. */}}
{{- define "streamflow.validate.extra" -}}
{{- $seen := dict -}}
{{- range $index, $object := .Values.extraObjects -}}
{{- $name := printf "%s %s/%s" $object.kind (dig "metadata" "namespace" "" $object) (dig "metadata" "name" "" $object) -}}
{{- if hasKey $seen $name }}
- extraObjects[{{ $index }}]: {{ $object.kind }} {{ dig "metadata" "name" "" $object }} is there twice; remove one of the two
{{- end }}
{{- $_ := set $seen $name true -}}
{{- end -}}
{{- end }}
