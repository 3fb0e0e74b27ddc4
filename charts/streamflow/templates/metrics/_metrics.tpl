{{/*
"true" when something for Prometheus is made, else empty: asked for, or where the cluster has the
kind for it. Call with root, enabled (true, false or auto) and kind.
*/}}
{{- define "streamflow.metrics.on" -}}
{{- $there := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- if and .root.Values.api.enabled (or (eq (toString .enabled) "true") (and (eq (toString .enabled) "auto") $there)) -}}true{{- end -}}
{{- end }}

{{/*
Which command's schedule an alert follows, and its limit in files/rules.yaml, which is that of the default
schedule: a map by alert of lists.
*/}}
{{- define "streamflow.metrics.limits" -}}
StreamflowMaterializeOverdue: [materialize, "2768400"]
StreamflowMaterializeMissing: [materialize, "2768400"]
StreamflowAuditOverdue: [audit, "133200"]
StreamflowAuditMissing: [audit, "133200"]
StreamflowBackupOld: [backup, "151200"]
StreamflowBackupMissing: [backup, "151200"]
{{- end }}

{{/* "true" where a command runs by its schedule, else empty. Call with root and command. */}}
{{- define "streamflow.metrics.scheduled" -}}
{{- if eq .command "backup" -}}
{{- include "streamflow.backup.on" .root -}}
{{- else if (index .root.Values.jobs .command).enabled -}}
true
{{- end -}}
{{- end }}

{{/*
files/rules.yaml for this release: its names in the selectors, its schedules' limits, its audit's threshold,
the runbooks' place before their names, and no alert of what is off.
*/}}
{{- define "streamflow.metrics.rules" -}}
{{- $rule := .Values.metrics.prometheusRule -}}
{{- $own := printf "job=%q,namespace=%q" (include "streamflow.api.name" .) .Release.Namespace -}}
{{- $text := .Files.Get "files/rules.yaml" | replace "job=\"streamflow-api\"" $own -}}
{{- range list "job_name" "owner_name" -}}
{{- $jobs := printf "namespace=%q,%s=~%q" $.Release.Namespace . (printf "%s-.+" (include "streamflow.fullname" $)) -}}
{{- $text = replace (printf "%s=~\"streamflow-.+\"" .) $jobs $text -}}
{{- end -}}
{{- $threshold := include "streamflow.text" .Values.jobs.audit.threshold | float64 | toJson -}}
{{- $text = regexReplaceAll "(streamflow_skew_share[^>\n]*) > 0" $text (printf "${1} > %s" $threshold) -}}
{{- with $rule.runbookBaseUrl -}}
{{- $text = replace "runbook_url: docs/runbooks" (printf "runbook_url: %s" (trimSuffix "/" .)) $text -}}
{{- end -}}
{{- $limits := include "streamflow.metrics.limits" . | fromYaml -}}
{{- $labels := include "streamflow.texts" $rule.alertLabels | fromYaml -}}
{{- $groups := list -}}
{{- range $group := (fromYaml $text).groups -}}
{{- $rules := list -}}
{{- range $alert := $group.rules -}}
{{- $limit := get $limits $alert.alert | default list -}}
{{- $of := dict "root" $ "command" (first $limit) -}}
{{- $on := not (has $alert.alert $rule.disabled) -}}
{{- if and $on $limit }}{{ $on = eq "true" (include "streamflow.metrics.scheduled" $of) }}{{ end -}}
{{- if $on -}}
{{- with $limit -}}
{{- $_ := set $alert "expr" (replace (last .) (include "streamflow.schedule.overdue" $of) $alert.expr) -}}
{{- end -}}
{{- $_ := set $alert "labels" (merge (deepCopy $labels) $alert.labels) -}}
{{- $rules = append $rules $alert -}}
{{- end -}}
{{- end -}}
{{- if $rules }}{{ $groups = append $groups (dict "name" $group.name "rules" $rules) }}{{ end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end }}

{{/*
files/dashboard.json for this release: a uid and a title of its own, since Grafana takes no two dashboards of the
same, its release chosen, and rates over several scrapes.
*/}}
{{- define "streamflow.metrics.dashboard" -}}
{{- $name := include "streamflow.fullname" . -}}
{{- $board := .Files.Get "files/dashboard.json" | fromJson -}}
{{- $_ := set $board "uid" (printf "streamflow-%s" (printf "%s/%s" .Release.Namespace $name | sha256sum | trunc 12)) -}}
{{- $_ := set $board "title" (printf "StreamFlow: %s in %s" $name .Release.Namespace) -}}
{{- $chosen := dict "namespace" .Release.Namespace "job" (include "streamflow.api.name" .) -}}
{{- range $board.templating.list -}}
{{- if hasKey $chosen .name -}}
{{- $value := get $chosen .name -}}
{{- $_ := set . "current" (dict "text" $value "value" $value) -}}
{{- end -}}
{{- end -}}
{{- range $panel := $board.panels -}}
{{- range $panel.targets -}}
{{- if hasKey . "interval" }}{{ $_ := set . "interval" $.Values.metrics.serviceMonitor.interval }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toPrettyJson $board -}}
{{- end }}
