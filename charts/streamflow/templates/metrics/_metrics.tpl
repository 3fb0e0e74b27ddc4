{{/*
"true" when something for Prometheus is made, else empty: asked for, or where the cluster has the
kind for it. Call with root, enabled (true, false or auto) and kind.
*/}}
{{- define "streamflow.metrics.on" -}}
{{- $there := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- if and .root.Values.api.enabled (or (eq (toString .enabled) "true") (and (eq (toString .enabled) "auto") $there)) -}}true{{- end -}}
{{- end }}

{{/*
files/rules.yaml for this release: its names in the selectors, the runbooks' place before their
names, and no alert of what is off.
*/}}
{{- define "streamflow.metrics.rules" -}}
{{- $rule := .Values.metrics.prometheusRule -}}
{{- $own := printf "job=%q,namespace=%q" (include "streamflow.api.name" .) .Release.Namespace -}}
{{- $text := .Files.Get "files/rules.yaml" | replace "job=\"streamflow-api\"" $own -}}
{{- with $rule.runbookBaseUrl -}}
{{- $text = replace "runbook_url: docs/runbooks" (printf "runbook_url: %s" (trimSuffix "/" .)) $text -}}
{{- end -}}
{{- $off := $rule.disabled -}}
{{- if not (include "streamflow.backup.on" .) }}{{ $off = concat $off (list "StreamflowBackupOld" "StreamflowBackupMissing") }}{{ end -}}
{{- if not .Values.jobs.materialize.enabled }}{{ $off = append $off "StreamflowMaterializeOverdue" }}{{ end -}}
{{- $groups := list -}}
{{- range (fromYaml $text).groups -}}
{{- $rules := list -}}
{{- range .rules -}}
{{- if not (has .alert $off) -}}
{{- $_ := set . "labels" (merge .labels $rule.alertLabels) -}}
{{- $rules = append $rules . -}}
{{- end -}}
{{- end -}}
{{- if $rules }}{{ $groups = append $groups (dict "name" .name "rules" $rules) }}{{ end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end }}
