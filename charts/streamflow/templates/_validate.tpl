{{/*
What the schema cannot say: values that are impossible together. All of them at once, each with
its mend. Those that are not about one part are in the folder validate.
*/}}
{{- define "streamflow.validate" -}}
{{- $faults := list -}}
{{- range list "characters" "names" "definitions" "api" "explorer" "jobs" "spark" "times" "schedules" "volumes" "quantities" "memory" "pods" "postgres" "prefect" "network" "generated" "cluster" -}}
{{- $faults = append $faults (include (printf "streamflow.validate.%s" .) $) -}}
{{- end -}}
{{- with $faults | join "\n" | splitList "\n" | compact -}}
{{- fail (printf "\n\nThese values cannot work:\n%s\n" (join "\n" .)) -}}
{{- end -}}
{{- end }}

{{- define "streamflow.validate.api" -}}
{{- with .Values.api -}}
{{- if .enabled -}}
{{- if .autoscaling.enabled -}}
{{- if not (dig "requests" "cpu" "" (.resources | default dict)) }}
- api.autoscaling is on, but api.resources.requests.cpu is not set, of which it takes a percentage: set it, e.g. to 250m, or set api.autoscaling.enabled=false
{{- end }}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) }}
- api.autoscaling.minReplicas ({{ .autoscaling.minReplicas }}) is above api.autoscaling.maxReplicas ({{ .autoscaling.maxReplicas }}): raise the one or lower the other
{{- end }}
{{- end }}
{{- if and .podDisruptionBudget.enabled (has (include "streamflow.text" .podDisruptionBudget.maxUnavailable) (list "0" "0%")) }}
- api.podDisruptionBudget.maxUnavailable is {{ include "streamflow.text" .podDisruptionBudget.maxUnavailable }}, so that no node with a pod of the API could ever be drained, least of all one with a single replica: set it to 1 or more
{{- end }}
{{- $longest := add (int .preStopSeconds) (int .deadlineSeconds) }}
{{- if le (int .terminationGracePeriodSeconds) (int $longest) }}
- api.terminationGracePeriodSeconds ({{ .terminationGracePeriodSeconds }}) ends a pod before its last request: set it above api.preStopSeconds + api.deadlineSeconds ({{ $longest }})
{{- end }}
{{- range $name, $value := dict "SERVICE" "api.defaultService" "PROJECT" "api.project" "DEADLINE_S" "api.deadlineSeconds" "KEEP_ALIVE_S" "api.keepAliveSeconds" "READ_HOST" "api.postgres.readHost" "READ_PORT" "api.postgres.readPort" "MAX_LAG_S" "api.postgres.maxLagSeconds" "KEYS_DIR" "api.auth.existingSecret" "RATE_PER_S" "api.rateLimit.perSecond" "RATE_BURST" "api.rateLimit.burst" }}
{{- if hasKey ($.Values.api.settings | default dict) $name }}
- api.settings.{{ $name }} has a value of its own: set {{ $value }} instead
{{- end }}
{{- end }}
{{- if and .ingress.enabled (not .ingress.hosts) }}
- api.ingress is on, but has no host: set api.ingress.hosts, e.g. [features.example.com]
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "streamflow.validate.explorer" -}}
{{- with .Values.explorer -}}
{{- if .enabled -}}
{{- range $name, $value := dict "SHOW_USERS" "explorer.showUsers" "API_KEYS_DIR" "explorer.showKeys" "POOL_SIZE" "explorer.poolSize" "STATEMENT_TIMEOUT_S" "explorer.statementTimeoutSeconds" "PROJECT" "api.project" }}
{{- if hasKey ($.Values.explorer.settings | default dict) $name }}
- explorer.settings.{{ $name }} has a value of its own: set {{ $value }} instead
{{- end }}
{{- end }}
{{- if and .ingress.enabled (not .ingress.hosts) }}
- explorer.ingress is on, but has no host: set explorer.ingress.hosts, e.g. [explorer.example.com]
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "streamflow.validate.jobs" -}}
{{- with .Values.jobs.restore -}}
{{- if and .backup (not .request) }}
- jobs.restore.backup is set without jobs.restore.request: if that restore was carried out, remove jobs.restore.backup and .overwrite; to ask for a restore, name it in jobs.restore.request by a text that none before had, e.g. "2026-11-28 volume lost"
{{- else if and .request (not .backup) }}
- jobs.restore.request is set, but no backup: set jobs.restore.backup to its name or to latest, or remove jobs.restore.request
{{- end }}
{{- end -}}
{{- with .Values.jobs.ingest -}}
{{- $days := dict -}}
{{- range $index, $month := .months -}}
{{- $here := printf "jobs.ingest.months[%d]" $index -}}
{{- include "streamflow.validate.day" (dict "here" $here "asOf" .asOf) -}}
{{- if and .asOf (hasKey $days .asOf) }}
- {{ $here }}: there is another month with asOf {{ .asOf }}; remove one of the two, or correct its day
{{- end }}
{{- if .asOf }}{{ $_ := set $days .asOf true }}{{ end }}
{{- if and (eq .source "sample") (not .month) }}
- {{ $here }}: a month of source sample needs month, e.g. month: month_000 for 2024-01-31
{{- else if and (eq .source "pvc") (not $.Values.jobs.ingest.pvc.claimName) }}
- {{ $here }}: a month of source pvc needs a claim: set jobs.ingest.pvc.claimName to a PersistentVolumeClaim in this namespace
{{- else if and (eq .source "url") (not .url) }}
- {{ $here }}: a month of source url needs url, e.g. url: s3://bucket/2024-01
{{- end }}
{{- end -}}
{{- end -}}
{{- $sets := dict -}}
{{- range $index, $set := .Values.jobs.trainingSet.datasets -}}
{{- $here := printf "jobs.trainingSet.datasets[%d]" $index -}}
{{- include "streamflow.validate.day" (dict "here" $here "asOf" .asOf) -}}
{{- $key := .out | default (printf "%s of %s" (include "streamflow.trainingSet.service" (dict "root" $ "dataset" .)) .asOf) -}}
{{- if hasKey $sets $key }}
- {{ $here }}: {{ $key }} is written by another entry as well; remove one of the two
{{- end }}
{{- $_ := set $sets $key true }}
{{- include "streamflow.validate.fromLake" (dict "root" $ "here" $here "from" .from) -}}
{{- end -}}
{{- end }}

{{/* What is read from a lake that is not there. Call with root, here and from. */}}
{{- define "streamflow.validate.fromLake" -}}
{{- if and (eq (.from | default "") "lake") (not .root.Values.jobs.lake.url) }}
- {{ .here }} is read from the lake, and there is none: set jobs.lake.url, or take from out
{{- end -}}
{{- end }}

{{/* Call with here and asOf. */}}
{{- define "streamflow.validate.day" -}}
{{- if not .asOf }}
- {{ .here }} has no asOf; give the day that it describes, e.g. asOf: "2024-01-31"
{{- else if ne .asOf (toDate "2006-01-02" .asOf | date "2006-01-02") }}
- {{ .here }}: asOf {{ .asOf }} is no day of the calendar; write it like 2024-01-31
{{- end -}}
{{- end }}

{{- define "streamflow.validate.prefect" -}}
{{- if and .Values.prefect.apiUrl (not .Values.prefect.enabled) }}
- prefect.apiUrl is set, but prefect.enabled is false: leave prefect.enabled true to report to that server (none is deployed then), or remove prefect.apiUrl
{{- end -}}
{{- if and .Values.prefect.deployments.enabled (not (include "streamflow.prefect.url" .)) }}
- prefect.deployments is on, but there is no Prefect on whose page they would be: set prefect.enabled=true, or prefect.deployments.enabled=false
{{- end -}}
{{- end }}

{{- define "streamflow.validate.replicas" -}}
{{- if include "streamflow.api.replicas" . -}}
{{- with .Values.api.postgres -}}
{{- $value := empty .readHost | ternary "api.postgres.readHostKey" "api.postgres.readHost" -}}
{{- if not $.Values.postgres.external.enabled }}
- {{ $value }} names a replica, but the bundled PostgreSQL has none: set postgres.external.enabled=true and postgres.external.host to the primary, or leave it empty
{{- end }}
{{- if and .readHost .readHostKey }}
- api.postgres has both readHost and readHostKey; remove one of the two
{{- end }}
{{- if eq "true" (get $.Values.api.settings "SERVE_STALE" | toString | lower) }}
- api.settings.SERVE_STALE gives kept answers, but none are kept with {{ $value }}: leave out one of the two
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "streamflow.validate.postgres" -}}
{{- $logins := dict -}}
{{- range $role := include "streamflow.roles.all" . | fromYamlArray -}}
{{- $of := dict "root" $ "role" $role -}}
{{- $secret := include "streamflow.roles.secret" $of -}}
{{- range $key := list "username" "password" -}}
{{- $login := printf "%s of Secret %s" (include "streamflow.roles.key" (merge (dict "key" $key) $of)) $secret -}}
{{- if hasKey $logins $login }}
- postgres.roles.{{ $role }} takes {{ $login }}, as {{ get $logins $login }} does: each role needs a login of its own, so set another existingSecret, or other usernameKey and passwordKey in it
{{- end }}
{{- $_ := set $logins $login (printf "postgres.roles.%s" $role) }}
{{- end -}}
{{- end -}}
{{- include "streamflow.validate.replicas" . -}}
{{- with .Values.postgres.external -}}
{{- if .enabled -}}
{{- if not .host }}
- postgres.external is on, but has no host; set postgres.external.host, e.g. to postgres.example.com
{{- end }}
{{- if ne "0" (include "streamflow.postgres.rotation" $) | and (not $.Values.postgres.auth.existingSecret) }}
- postgres.auth.rotation is set, but postgres.external is on, whose password the chart does not change: change it on that server and in its Secret, and set postgres.auth.existingSecret
{{- end }}
{{- if not $.Values.postgres.auth.existingSecret }}
- postgres.external is on, but nothing says its password; set postgres.auth.existingSecret to a Secret in this namespace: kubectl create secret generic streamflow-database --from-literal={{ $.Values.postgres.auth.passwordKey }}=…
{{- end }}
{{- if and .ca.secret .ca.configMap }}
- postgres.external.ca names both a secret and a configMap; remove one of the two
{{- end }}
{{- if and (hasPrefix "verify-" .sslmode) (not (or .ca.secret .ca.configMap .ca.path)) }}
- postgres.external.sslmode {{ .sslmode }} needs the certificate of a CA; set postgres.external.ca.secret or .configMap, or .path to /etc/ssl/certs/ca-certificates.crt for a publicly signed server
{{- end }}
{{- $direct := "set postgres.external.pooler.direct.host to PostgreSQL itself" }}
{{- if and .pooler.direct.host (eq .pooler.mode "none") }}
- postgres.external.pooler.direct.host is an address beside a pooler, but there is none: set postgres.external.pooler.mode=transaction, or postgres.external.host to {{ .pooler.direct.host }}
{{- else if and (ne .pooler.mode "none") (not .pooler.direct.host) }}
{{- if include "streamflow.prefect.own" $ }}
- prefect.enabled deploys Prefect's server, which cannot use a pooler: {{ $direct }}, or prefect.apiUrl to another server, or prefect.enabled=false
{{- end }}
{{- if include "streamflow.backup.on" $ }}
- jobs.backup.enabled is on, but no dump can be made through a pooler: {{ $direct }}
{{- end }}
{{- if $.Values.jobs.restore.backup }}
- jobs.restore.backup is set, but nothing can be restored through a pooler: {{ $direct }}
{{- end }}
{{- end }}
{{- else -}}
{{- $needed := include "streamflow.postgres.connections" $ | int -}}
{{- $allowed := dig "max_connections" 100 ($.Values.postgres.parameters | default dict) | int -}}
{{- if gt $needed $allowed }}
- postgres.parameters.max_connections is {{ $allowed }}, but this release may open {{ $needed }}; set it to {{ $needed }} or more, or lower api.autoscaling.maxReplicas ({{ $.Values.api.autoscaling.maxReplicas }}) or api.poolSize ({{ $.Values.api.poolSize }}){{ if include "streamflow.spark.on" $ }}, or jobs.spark.executors ({{ $.Values.jobs.spark.executors | int }}){{ end }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "streamflow.validate.network" -}}
{{- if .Values.networkPolicy.enabled -}}
{{- include "streamflow.validate.peers" . -}}
{{- with .Values.api -}}
{{- $outside := .ingress.enabled | ternary "api.ingress is on" "" -}}
{{- if ne .service.type "ClusterIP" }}{{ $outside = printf "api.service.type is %s" .service.type }}{{ end -}}
{{- if and .enabled $outside (not $.Values.networkPolicy.api.from) }}
- {{ $outside }}, but the API's NetworkPolicy lets nobody in from outside of the namespace; set networkPolicy.api.from to who comes in, e.g. [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}], or [{ipBlock: {cidr: 0.0.0.0/0}}] for everybody
{{- end }}
{{- end -}}
{{- with .Values.explorer -}}
{{- if and .enabled .ingress.enabled (not $.Values.networkPolicy.explorer.from) }}
- explorer.ingress is on, but the explorer's NetworkPolicy lets nobody in; set networkPolicy.explorer.from to who comes in, e.g. [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]
{{- end }}
{{- end -}}
{{- $far := "" -}}
{{- range $url := include "streamflow.network.urls" . | fromYamlArray -}}
{{- if not (regexMatch "^(file|local|memory):" $url) }}{{ $far = $url }}{{ end -}}
{{- end -}}
{{- if and $far (not .Values.networkPolicy.jobs.egress) }}
- {{ $far }} is behind a URL, but the jobs' NetworkPolicy lets them out nowhere; set networkPolicy.jobs.egress to where that is, e.g. [{ports: [{port: 443}]}], best with the networks it may be in
{{- end }}
{{- end -}}
{{- end }}

{{/*
Passwords that would be generated where there is no cluster to find the former ones in: the release's own
namespace has kube-root-ca.crt, or is not made yet, and kube-system is in every cluster.
*/}}
{{- define "streamflow.validate.generated" -}}
{{- $generated := list -}}
{{- if not (or .Values.postgres.external.enabled .Values.postgres.auth.existingSecret) }}{{ $generated = append $generated "postgres.auth" }}{{ end -}}
{{- if include "streamflow.roles.on" . -}}
{{- range include "streamflow.roles.all" . | fromYamlArray -}}
{{- if not (index $.Values.postgres.roles .).existingSecret }}{{ $generated = append $generated (printf "postgres.roles.%s" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if and $generated (not (lookup "v1" "ConfigMap" .Release.Namespace "kube-root-ca.crt")) (not (lookup "v1" "Namespace" "" "kube-system")) }}
- this is rendered without a cluster, so that each rendering would have other passwords than the last: set existingSecret of {{ join ", " $generated }} to Secrets that are made otherwise (examples/gitops.yaml has all of it), or let Helm ask the cluster, by helm install, helm upgrade or --dry-run=server
{{- end }}
{{- end }}

{{/*
What only a cluster can tell; nothing while there is none (`helm template`) or before the
namespace is made. Every namespace has the ConfigMap kube-root-ca.crt.
*/}}
{{- define "streamflow.validate.cluster" -}}
{{- $namespace := .Release.Namespace -}}
{{- if and (include "streamflow.roles.on" .) (lookup "v1" "ConfigMap" $namespace "kube-root-ca.crt") -}}
{{- range $role := include "streamflow.roles.all" . | fromYamlArray -}}
{{- $keys := index $.Values.postgres.roles $role -}}
{{- with $keys.existingSecret -}}
{{- $found := lookup "v1" "Secret" $namespace . -}}
{{- $data := $found.data | default dict -}}
{{- if not $found }}
- postgres.roles.{{ $role }}.existingSecret: there is no Secret {{ . }} in namespace {{ $namespace }}; create it: kubectl -n {{ $namespace }} create secret generic {{ . }} --from-literal={{ $keys.usernameKey }}={{ $.Values.postgres.roles.prefix }}_{{ $role }}_a --from-literal={{ $keys.passwordKey }}=…
{{- else if not (and (get $data $keys.usernameKey) (get $data $keys.passwordKey)) }}
- Secret {{ . }} in namespace {{ $namespace }} has no {{ $keys.usernameKey }} and {{ $keys.passwordKey }}, only: {{ keys $data | sortAlpha | join ", " }}; correct it, or postgres.roles.{{ $role }}.existingSecret, .usernameKey and .passwordKey
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.api.enabled (lookup "v1" "ConfigMap" $namespace "kube-root-ca.crt") -}}
{{- with .Values.api.auth.existingSecret -}}
{{- $found := lookup "v1" "Secret" $namespace . -}}
{{- if not $found }}
- api.auth.existingSecret: there is no Secret {{ . }} in namespace {{ $namespace }}; make a key by `streamflow api-key NAME`, and the Secret: kubectl -n {{ $namespace }} create secret generic {{ . }} --from-literal=NAME=HASH
{{- else if not $found.data }}
- Secret {{ . }} in namespace {{ $namespace }} has no key, with which the API does not start; add one that `streamflow api-key NAME` has made, or set api.auth.existingSecret=""
{{- end }}
{{- end -}}
{{- with .Values.api.auth.testKeySecret -}}
{{- if not (hasKey (lookup "v1" "Secret" $namespace . | dig "data" dict) "key") }}
- api.auth.testKeySecret: there is no Secret {{ . }} with an entry key in namespace {{ $namespace }}; create it: kubectl -n {{ $namespace }} create secret generic {{ . }} --from-literal=key=KEY
{{- end }}
{{- end -}}
{{- end -}}
{{- $name := include "streamflow.postgres.secret" . -}}
{{- if lookup "v1" "ConfigMap" $namespace "kube-root-ca.crt" -}}
{{- $found := lookup "v1" "Secret" $namespace $name -}}
{{- $key := .Values.postgres.auth.passwordKey -}}
{{- if and .Values.postgres.auth.existingSecret (not $found) }}
- postgres.auth.existingSecret: there is no Secret {{ $name }} in namespace {{ $namespace }}; create it: kubectl -n {{ $namespace }} create secret generic {{ $name }} --from-literal={{ $key }}=…
{{- else if $found }}
{{- range without (list $key .Values.postgres.auth.userKey) "" }}
{{- if not (hasKey ($found.data | default dict) .) }}
- Secret {{ $name }} in namespace {{ $namespace }} has no key {{ . }}, only: {{ keys ($found.data | default dict) | sortAlpha | join ", " }}; correct postgres.auth.passwordKey and .userKey, or the Secret
{{- end }}
{{- end }}
{{- else if and (not .Values.postgres.external.enabled) .Values.postgres.persistence.enabled }}
{{- $claim := include "streamflow.postgres.claim" . }}
{{- if lookup "v1" "PersistentVolumeClaim" $namespace $claim }}
- PersistentVolumeClaim {{ $claim }} has the data of an earlier release, but its password, Secret {{ $name }}, is gone; create that Secret again: kubectl -n {{ $namespace }} create secret generic {{ $name }} --from-literal={{ $key }}=… and set postgres.auth.existingSecret={{ $name }}, or delete the claim and the data with it
{{- end }}
{{- end }}
{{- end -}}
{{- end }}
