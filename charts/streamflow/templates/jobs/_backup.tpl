{{/* "true" when the databases are backed up, else empty. */}}
{{- define "streamflow.backup.on" -}}
{{- $enabled := toString .Values.jobs.backup.enabled -}}
{{- $own := and (not .Values.postgres.external.enabled) .Values.postgres.persistence.enabled -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") $own) -}}true{{- end -}}
{{- end }}

{{/* Where backups are kept: the URL, or the volume's folder. */}}
{{- define "streamflow.backup.place" -}}{{ .Values.jobs.backup.to | default "/backups" }}{{- end }}

{{/* The volume at /backups: that of the backups, or room for a dump on its way to the URL. */}}
{{- define "streamflow.backup.volume" -}}
name: backups
{{- if .Values.jobs.backup.to }}
emptyDir: {}
{{- else }}
persistentVolumeClaim:
  claimName: {{ include "streamflow.backup.claim" . | quote }}
{{- end }}
{{- end }}

{{/*
What every Job with backups has, as arguments of streamflow.job. Call with root, and whether it
only reads them.
*/}}
{{- define "streamflow.backup.common" -}}
untracked: true
{{- with .root.Values.jobs.backup.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
mounts:
  - name: backups
    mountPath: /backups
    {{- if .readOnly }}
    readOnly: true
    {{- end }}
volumes:
  - {{- include "streamflow.backup.volume" .root | nindent 4 }}
{{- end }}

{{/*
What a backup's Job is made of, as the arguments of streamflow.job.spec: PostgreSQL's image dumps
into a scratch folder, ours makes a backup of it.
*/}}
{{- define "streamflow.backup.job" -}}
{{- $backup := .Values.jobs.backup -}}
{{- $job := merge (dict "root" . "kind" "backup" "env" (include "streamflow.cronjob.env" .)) (include "streamflow.backup.common" (dict "root" .) | fromYaml) -}}
{{- $work := "/backups/.$(JOB_NAME).tmp" -}}
{{- $databases := list (printf "streamflow=%s" .Values.postgres.auth.database) -}}
{{- if include "streamflow.prefect.own" . -}}
{{- $databases = append $databases (printf "prefect=%s" .Values.prefect.database) -}}
{{- end -}}
{{- $command := include "streamflow.postgres.script" (dict "root" . "script" "dump") | fromYamlArray -}}
{{- $dump := dict "name" "dump" "role" "admin" "image" (include "streamflow.postgres.image" .) "command" $command -}}
{{- $_ := set $dump "args" (concat (list $work (.Values.jobs.waitSeconds | int | toString)) $databases) -}}
{{- $dump = include "streamflow.job.container" (merge $dump (omit $job "envFrom")) | fromYaml -}}
{{- $store := list "backup" "store" $work "--to" (include "streamflow.backup.place" .) -}}
{{- $store = concat $store (list "--prefix" (include "streamflow.fullname" .) "--keep" ($backup.keep | int | toString)) -}}
{{- omit (merge (dict "name" "backup" "role" "writer" "args" $store "initContainers" (list $dump)) $job) "root" | toYaml -}}
{{- end }}

{{/* What the Job of a restore is made of, as the arguments of streamflow.job. */}}
{{- define "streamflow.restore.job" -}}
{{- $restore := .Values.jobs.restore -}}
{{- $job := merge (dict "root" . "role" "admin" "kind" "restore") (include "streamflow.backup.common" (dict "root" .) | fromYaml) -}}
{{- $mountPlan := dict "name" "plan" "mountPath" "/plan" -}}
{{- $volumes := append $job.volumes (dict "name" "plan" "emptyDir" dict) -}}
{{- $job = merge (dict "mounts" (append $job.mounts $mountPlan) "volumes" $volumes) $job -}}
{{- $asks := list "/plan" "--from" (include "streamflow.backup.place" .) "--prefix" (include "streamflow.fullname" .) -}}
{{- $asks = concat $asks (list "--request" (include "streamflow.text" $restore.request)) -}}
{{- $args := concat (list "restore" "prepare" $restore.backup) $asks -}}
{{- $args = concat $args (list "--database" (printf "streamflow=%s" .Values.postgres.auth.database)) -}}
{{- $args = concat $args (list "--database" (printf "prefect=%s" .Values.prefect.database)) -}}
{{- if $restore.overwrite }}{{ $args = append $args "--overwrite" }}{{ end -}}
{{- $prepare := include "streamflow.job.container" (merge (dict "name" "prepare" "args" $args) $job) | fromYaml -}}
{{- $command := include "streamflow.postgres.script" (dict "root" . "script" "restore") | fromYamlArray -}}
{{- $pgRestore := dict "name" "restore" "image" (include "streamflow.postgres.image" .) "command" $command "args" (list "/plan/plan") -}}
{{- $mounts := append (include "streamflow.backup.common" (dict "root" . "readOnly" true) | fromYaml).mounts $mountPlan -}}
{{- $pgRestore = include "streamflow.job.container" (merge $pgRestore (dict "mounts" $mounts) (omit $job "envFrom")) | fromYaml -}}
{{- $own := dict "name" "finish" "args" (concat (list "restore" "finish") $asks) -}}
{{- $before := list $prepare $pgRestore -}}
{{- if include "streamflow.roles.created" . -}}
{{- /* A new database has nobody's rights, and a new server no roles. */ -}}
{{- $before = append $before (include "streamflow.job.container" (merge $own $job) | fromYaml) -}}
{{- $own = omit (include "streamflow.roles.job" . | fromYaml) "annotations" -}}
{{- $job = omit $job "envFrom" -}}
{{- end -}}
{{- $own = merge (dict "what" "restore" "shows" "finish" "initContainers" $before) $own -}}
{{- omit (merge $own $job) "root" | toYaml -}}
{{- end }}
