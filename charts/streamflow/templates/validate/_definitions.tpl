{{/* A feature repository of a person's own that lacks what the rest of the values needs. */}}
{{- define "streamflow.validate.definitions" -}}
{{- with .Values.definitions -}}
{{- if and .files .existingConfigMap }}
- definitions has both files and an existingConfigMap: remove one of the two
{{- end }}
{{- if and .revision (not .existingConfigMap) }}
- definitions.revision is for an existingConfigMap; files that differ are applied by themselves: remove it
{{- end }}
{{- if include "streamflow.definitions.own" $ -}}
{{- $here := empty .existingConfigMap | ternary "definitions.files" "definitions.keys" -}}
{{- $files := include "streamflow.definitions.files" $ | fromYamlArray -}}
{{- include "streamflow.validate.twice" (dict "here" $here "names" $files "own" list) -}}
{{- range list "feature_store.yaml" "definitions.py" -}}
{{- if not (has . $files) }}
- {{ $here }} has no {{ . }}: add it (`streamflow init NAME` writes one to begin with)
{{- end -}}
{{- end -}}
{{- $bytes := 0 -}}
{{- range .files }}{{ $bytes = add $bytes (len .) }}{{ end -}}
{{- if gt (int $bytes) 1000000 }}
- definitions.files are {{ $bytes }} bytes, and a ConfigMap holds one million: put them into an image, FROM the one of jobs, as /app/feature_repo
{{- end }}
{{- if not (has "snapshots.py" $files) -}}
{{- range $list, $entries := dict "jobs.ingest.months" $.Values.jobs.ingest.months "jobs.trainingSet.datasets" $.Values.jobs.trainingSet.datasets -}}
{{- if $entries }}
- {{ $list }} is about months, whose tables a snapshots.py declares, which {{ $here }} lacks: add it, or take the entries out
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
