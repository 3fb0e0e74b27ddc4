{{/* A feature repository of a person's own that cannot be had, or lacks what the rest of the values needs. */}}
{{- define "streamflow.validate.definitions" -}}
{{- with .Values.definitions -}}
{{- $ways := include "streamflow.definitions.ways" $ | fromYamlArray -}}
{{- if gt (len $ways) 1 }}
- definitions come from {{ join " and from " $ways }} at once: leave one of these in definitions
{{- end }}
{{- if and .revision (not .existingConfigMap) }}
- definitions.revision is for an existingConfigMap; other files, another image and another commit are applied by themselves: remove it
{{- end }}
{{- include "streamflow.validate.definitions.files" $ -}}
{{- include "streamflow.validate.definitions.image" .image -}}
{{- include "streamflow.validate.definitions.git" .git -}}
{{- end -}}
{{- end }}

{{- define "streamflow.validate.definitions.files" -}}
{{- with .Values.definitions -}}
{{- if or .files .existingConfigMap -}}
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
- definitions.files are {{ $bytes }} bytes, and a ConfigMap holds one million: have them come from an image (definitions.image) or from git (definitions.git)
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

{{/* An image that would be another one tomorrow. Call with definitions.image. */}}
{{- define "streamflow.validate.definitions.image" -}}
{{- $tag := include "streamflow.text" .tag -}}
{{- if and .repository (not .digest) (has $tag (list "" "latest")) }}
- definitions.image has {{ empty $tag | ternary "no tag" "the tag latest" }}, so that nobody could tell which definitions were applied: set its tag, another one for each build, or its digest
{{- end }}
{{- if and (not .repository) (or $tag .digest) }}
- definitions.image has a {{ empty .digest | ternary "tag" "digest" }} and no repository: set definitions.image.repository, or remove it
{{- end }}
{{- end }}

{{/* A git repository that cannot be reached, or a commit that is none. Call with definitions.git. */}}
{{- define "streamflow.validate.definitions.git" -}}
{{- if .repository -}}
{{- $scp := regexFindAll "^([-._a-zA-Z0-9]+@)?[-._a-zA-Z0-9]+:[^/].*$" .repository 1 -}}
{{- if regexMatch "^[a-z]+://[^/@]*:[^/@]*@" .repository }}
- definitions.git.repository has a password in it, which would be kept with the release: put it into a Secret (key password) and name that by definitions.git.existingSecret
{{- else if and $scp (not (contains "://" .repository)) }}
- definitions.git.repository is {{ .repository }}: write it as a URL, ssh://{{ regexReplaceAll "^([^:]*):" .repository "${1}/" }}
{{- else if not (regexMatch "^(https?://[^/@]+|ssh://([^/@:]+@)?[^/@]+)/." .repository) }}
- definitions.git.repository is {{ .repository }}, and has to be https://HOST/PATH or ssh://git@HOST/PATH
{{- end }}
{{- if not .commit }}
- definitions.git.commit is not set: set it to the whole hash of the commit whose definitions are meant (git rev-parse {{ .ref | default "HEAD" }}). A branch alone would mean others tomorrow, which no Job would apply
{{- end }}
{{- if and (hasPrefix "ssh://" .repository) (not .existingSecret) }}
- definitions.git.repository is reached by ssh, which needs a key: make a Secret with ssh-privatekey and known_hosts, and name it by definitions.git.existingSecret
{{- end }}
{{- else -}}
{{- range $key := list "commit" "ref" "path" "existingSecret" "to" -}}
{{- if get $ $key }}
- definitions.git.{{ $key }} is set without a repository: set definitions.git.repository, or remove it
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
