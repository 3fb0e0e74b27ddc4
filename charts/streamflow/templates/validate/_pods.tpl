{{/*
Pods that Kubernetes would refuse or that would never be selected: what a person adds to those of a part,
beside what the chart has there.
*/}}

{{/* Names of a part's own containers and volumes, and paths where it mounts them, as lists. */}}
{{- define "streamflow.pods.own" -}}
api:
  containers: [api]
  volumes: [tmp, postgres-ca, api-keys]
  paths: [/tmp, /etc/streamflow/postgres-ca, /etc/streamflow/api-keys]
explorer:
  containers: [explorer]
  volumes: [tmp, postgres-ca, api-keys]
  paths: [/tmp, /etc/streamflow/postgres-ca, /etc/streamflow/api-keys]
jobs:
  containers: [definitions, wait-for-prefect, sample, ingest, dump, backup, check, prepare, restore, finish, roles, apply, materialize, audit, training-set, wait, trainer, writer, executor]
  volumes: [tmp, postgres-ca, definitions, git-credentials, data, training, backups, plan, spark]
  paths: [/tmp, /etc/streamflow/postgres-ca, /etc/streamflow/git, /fetched, /definitions, /data, /training, /backups, /plan, /etc/streamflow/spark]
feast:
  containers: [definitions, wait-for-registry, feast]
  volumes: [tmp, postgres-ca, definitions, git-credentials, training]
  paths: [/tmp, /etc/streamflow/postgres-ca, /etc/streamflow/git, /fetched, /definitions, /training]
prefect:
  containers: [create-database, prefect]
  volumes: [tmp, postgres-ca]
  paths: [/tmp, /etc/streamflow/postgres-ca]
postgres:
  containers: [check-version, postgres]
  volumes: [tmp, data, run, shm]
  paths: [/tmp, /var/lib/postgresql, /var/run/postgresql, /dev/shm]
{{- end }}

{{/* Labels by which Kubernetes or the chart finds a pod. */}}
{{- define "streamflow.pods.labels" -}}
- app.kubernetes.io/name
- app.kubernetes.io/instance
- app.kubernetes.io/component
- pod-template-hash
- controller-revision-hash
- statefulset.kubernetes.io/pod-name
- apps.kubernetes.io/pod-index
- job-name
- controller-uid
- batch.kubernetes.io/job-name
- batch.kubernetes.io/controller-uid
- streamflow/spark
- spark-role
- spark-app-selector
- spark-app-name
- spark-exec-id
- spark-exec-resourceprofile-id
- spark-version
{{- end }}

{{/* Names that a list has more than once, or that are among others. Call with here, names and own. */}}
{{- define "streamflow.validate.twice" -}}
{{- $seen := dict -}}
{{- range $name := .names -}}
{{- if hasKey $seen $name }}
- {{ $.here }}: {{ $name }} is there twice; remove one of the two, or give it another name
{{- else if has $name $.own }}
- {{ $.here }} has {{ $name }}, which the chart's own is called; give it another name
{{- end }}
{{- $_ := set $seen $name true -}}
{{- end -}}
{{- end }}

{{- define "streamflow.validate.pods" -}}
{{- range $job := list "ingest" "trainingSet" "lake" "backup" -}}
{{- include "streamflow.validate.sources" (dict "here" (printf "jobs.%s.envFrom" $job) "sources" (index $.Values.jobs $job).envFrom) -}}
{{- end -}}
{{- $accounts := dict -}}
{{- range $name, $own := include "streamflow.pods.own" . | fromYaml -}}
{{- $part := index $.Values $name -}}
{{- $on := include "streamflow.part.on" (dict "root" $ "part" $name) -}}
{{- if $on -}}
{{- range include "streamflow.pods.labels" $ | fromYamlArray -}}
{{- if hasKey ($part.podLabels | default dict) . }}
- {{ $name }}.podLabels has {{ . }}, by which pods are found; take another label
{{- end }}
{{- end -}}
{{- range $key, $_ := $part.podAnnotations -}}
{{- if hasPrefix "checksum/" $key }}
- {{ $name }}.podAnnotations has {{ $key }}, by which the chart replaces pods; take another annotation
{{- end }}
{{- end -}}
{{- include "streamflow.validate.env" (dict "here" (printf "%s.extraEnv" $name) "env" $part.extraEnv) -}}
{{- include "streamflow.validate.sources" (dict "here" (printf "%s.extraEnvFrom" $name) "sources" $part.extraEnvFrom) -}}
{{- $volumes := list -}}
{{- range $part.extraVolumes }}{{ $volumes = append $volumes .name }}{{ end -}}
{{- include "streamflow.validate.twice" (dict "here" (printf "%s.extraVolumes" $name) "names" $volumes "own" $own.volumes) -}}
{{- $containers := list -}}
{{- range $place := list "initContainers" "sidecars" -}}
{{- range index $part $place -}}
{{- $containers = append $containers .name -}}
{{- if and (eq $place "sidecars") (hasKey . "restartPolicy") }}
- {{ $name }}.sidecars: {{ .name }} has a restartPolicy, which is Always for all of them; leave it out
{{- end }}
{{- /* Of the chart's own volumes a Job has those alone that it needs. */ -}}
{{- $known := concat $volumes (eq $name "jobs" | ternary (list "tmp") $own.volumes) -}}
{{- include "streamflow.validate.container" (dict "here" (printf "%s.%s: %s" $name $place .name) "part" $name "container" . "volumes" $known) -}}
{{- end -}}
{{- end -}}
{{- include "streamflow.validate.twice" (dict "here" (printf "%s.initContainers and .sidecars" $name) "names" $containers "own" $own.containers) -}}
{{- $paths := list -}}
{{- range $part.extraVolumeMounts -}}
{{- $paths = append $paths (trimSuffix "/" .mountPath | default "/") -}}
{{- if not (or (has .name $volumes) (eq .name "tmp")) }}
- {{ $name }}.extraVolumeMounts mounts {{ .name }}, of which there is no volume: add it to {{ $name }}.extraVolumes
{{- end }}
{{- end -}}
{{- include "streamflow.validate.twice" (dict "here" (printf "%s.extraVolumeMounts" $name) "names" $paths "own" $own.paths) -}}
{{- include "streamflow.validate.probes" (dict "here" $name "values" $part) -}}
{{- range $context := list "podSecurityContext" "containerSecurityContext" -}}
{{- with dig "seccompProfile" dict (index $part $context | default dict) -}}
{{- if ne (eq (get . "type") "Localhost") (hasKey . "localhostProfile") }}
- {{ $name }}.{{ $context }}.seccompProfile: type Localhost takes a localhostProfile, and no other type does: set both or neither
{{- end }}
{{- end -}}
{{- end -}}
{{- $driver := include "streamflow.spark.on" $ | empty | ternary "" (include "streamflow.spark.name" $) -}}
{{- with $part.serviceAccount -}}
{{- if and $driver (eq .name $driver) }}
- {{ $name }}.serviceAccount.name is {{ .name }}, the account of Spark's drivers, which may make pods: give it another name
{{- else if .create -}}
{{- $account := include "streamflow.serviceAccount" (dict "root" $ "part" $name) -}}
{{- if eq $account "default" }}
- {{ $name }}.serviceAccount creates the account default, which is in every namespace already: set {{ $name }}.serviceAccount.create=false to use it
{{- else if hasKey $accounts $account }}
- {{ $name }}.serviceAccount.name is {{ $account }}, which {{ get $accounts $account }}.serviceAccount creates as well: set {{ $name }}.serviceAccount.create=false to share it
{{- end }}
{{- $_ := set $accounts $account $name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if include "streamflow.flows.on" . }}{{ include "streamflow.validate.probes" (dict "here" "prefect.deployments" "values" .Values.prefect.deployments) }}{{ end -}}
{{- end }}

{{/* Probes that Kubernetes would refuse. Call with here and values. */}}
{{- define "streamflow.validate.probes" -}}
{{- range $probe := list "startupProbe" "livenessProbe" -}}
{{- if ne 1 (int (dig $probe "successThreshold" 1 (pick $.values $probe))) }}
- {{ $.here }}.{{ $probe }}.successThreshold is {{ int (index $.values $probe).successThreshold }}, which Kubernetes takes for a readinessProbe alone: set it to 1
{{- end }}
{{- end -}}
{{- end }}

{{/* Variables that are there twice or have two values. Call with here and env. */}}
{{- define "streamflow.validate.env" -}}
{{- $names := list -}}
{{- range .env -}}
{{- $names = append $names .name -}}
{{- if and (hasKey . "value") (hasKey . "valueFrom") }}
- {{ $.here }}: {{ .name }} has a value and a valueFrom; remove one of the two
{{- end }}
{{- end -}}
{{- include "streamflow.validate.twice" (dict "here" .here "names" $names "own" list) -}}
{{- end }}

{{/* What a person's container has twice or lacks. Call with here, part, container and volumes (names). */}}
{{- define "streamflow.validate.container" -}}
{{- include "streamflow.validate.env" (dict "here" (printf "%s.env" .here) "env" .container.env) -}}
{{- $paths := list -}}
{{- range .container.volumeMounts -}}
{{- $paths = append $paths .mountPath -}}
{{- if not (has .name $.volumes) }}
- {{ $.here }} mounts {{ .name }}, of which there is no volume: add it to {{ $.part }}.extraVolumes
{{- end }}
{{- end -}}
{{- include "streamflow.validate.twice" (dict "here" (printf "%s.volumeMounts" .here) "names" $paths "own" list) -}}
{{- end }}

{{/* Sources of variables that name nothing, or two things. Call with here and sources. */}}
{{- define "streamflow.validate.sources" -}}
{{- range $index, $source := .sources -}}
{{- if eq (hasKey $source "secretRef") (hasKey $source "configMapRef") }}
- {{ $.here }}[{{ $index }}] needs either a secretRef or a configMapRef, e.g. {secretRef: {name: s3}}
{{- end }}
{{- end -}}
{{- end }}

{{/* "true" where a part has pods, else empty. Call with root and part. */}}
{{- define "streamflow.part.on" -}}
{{- $values := .root.Values -}}
{{- if eq .part "prefect" -}}
{{- include "streamflow.prefect.own" .root -}}
{{- else if eq .part "postgres" -}}
{{- if not $values.postgres.external.enabled }}true{{ end -}}
{{- else if eq .part "jobs" -}}
true
{{- else if (index $values .part).enabled -}}
true
{{- end -}}
{{- end }}
