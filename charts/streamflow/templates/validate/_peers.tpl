{{/* Peers of NetworkPolicies that Kubernetes refuses. */}}

{{- define "streamflow.validate.peers" -}}
{{- $all := dict "networkPolicy.dns.to" .Values.networkPolicy.dns.to "tracing.to" .Values.tracing.to "networkPolicy.kubernetes.to" .Values.networkPolicy.kubernetes.to -}}
{{- range list "api" "metrics" "explorer" "feast" "prefect" "postgres" -}}
{{- $_ := set $all (printf "networkPolicy.%s.from" .) (index $.Values.networkPolicy .).from -}}
{{- end -}}
{{- range $index, $rule := .Values.networkPolicy.jobs.egress -}}
{{- $_ := set $all (printf "networkPolicy.jobs.egress[%d].to" $index) ($rule.to | default list) -}}
{{- range $rule.ports -}}
{{- if and .endPort (or (not (kindIs "float64" .port)) (lt (int .endPort) (int .port))) }}
- networkPolicy.jobs.egress[{{ $index }}].ports has endPort {{ int .endPort }}, which takes a port that is a number and not above it: correct the two
{{- end }}
{{- end -}}
{{- end -}}
{{- range $here, $peers := $all -}}
{{- range $index, $peer := $peers -}}
{{- if and $peer.ipBlock (or (hasKey $peer "podSelector") (hasKey $peer "namespaceSelector")) }}
- {{ $here }}[{{ $index }}] has an ipBlock beside a selector of pods: make two entries of it
{{- end }}
{{- range list "podSelector" "namespaceSelector" -}}
{{- include "streamflow.validate.expressions" (dict "here" (printf "%s[%d].%s" $here $index .) "selector" (get $peer .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Conditions on labels with values where there may be none, or without. Call with here and selector. */}}
{{- define "streamflow.validate.expressions" -}}
{{- with .selector -}}
{{- range .matchExpressions -}}
{{- if ne (has .operator (list "In" "NotIn")) (not (empty .values)) }}
- {{ $.here }}: {{ .key }} {{ .operator }} takes {{ has .operator (list "In" "NotIn") | ternary "values, e.g. values: [a]" "no values" }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}
