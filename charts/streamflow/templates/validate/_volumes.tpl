{{/* Claims that nobody makes or that two pods cannot have at once, and pods that no node would do for. */}}

{{- define "streamflow.validate.volumes" -}}
{{- $backup := .Values.jobs.backup -}}
{{- $training := .Values.jobs.trainingSet -}}
{{- $backups := and (include "streamflow.backup.on" .) (not $backup.to) -}}
{{- if and .Values.jobs.restore.backup (not (or (include "streamflow.backup.on" .) $backup.to $backup.persistence.existingClaim)) }}
- jobs.restore.backup is set, but its backups would be on claim {{ include "streamflow.backup.claim" . }}, which nobody makes while jobs.backup is off: set jobs.backup.persistence.existingClaim to the claim that has them (that name, if it is still there), or jobs.backup.to to their URL
{{- end }}
{{- $used := dict -}}
{{- if $backups }}{{ $_ := set $used "backup" $backup.persistence }}{{ end -}}
{{- if include "streamflow.trainingSet.volume" . }}{{ $_ := set $used "trainingSet" $training.persistence }}{{ end -}}
{{- range $job, $persistence := $used -}}
{{- $modes := $persistence.accessModes -}}
{{- if and (has "ReadWriteOncePod" $modes) (gt (len (uniq $modes)) 1) }}
- jobs.{{ $job }}.persistence.accessModes has ReadWriteOncePod beside others, which has to be alone: remove it or the others
{{- end }}
{{- end -}}
{{- if include "streamflow.trainingSet.volume" . -}}
{{- with $training.persistence.accessModes -}}
{{- if and (include "streamflow.flows.on" $) (has "ReadWriteOncePod" .) }}
- jobs.trainingSet.persistence.accessModes is ReadWriteOncePod, but the pod of prefect.deployments mounts the training sets as well as others do: set it to [ReadWriteOnce] or [ReadWriteMany], or prefect.deployments.enabled=false
{{- end }}
{{- if and $.Values.feast.enabled (has "ReadWriteOncePod" .) }}
- jobs.trainingSet.persistence.accessModes is ReadWriteOncePod, but the pod of feast mounts the training sets as well, so that no Job ever could: set it to [ReadWriteOnce] or [ReadWriteMany], or feast.enabled=false
{{- end }}
{{- if and $.Values.feast.enabled (not (has "ReadWriteMany" .)) -}}
{{- include "streamflow.validate.placing" $ -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The Jobs of training sets run on the node of `feast`, which therefore has to suit them. */}}
{{- define "streamflow.validate.placing" -}}
{{- $mend := "set the same for both, or jobs.trainingSet.persistence.accessModes=[ReadWriteMany], or feast.enabled=false" -}}
{{- range $key, $value := .Values.jobs.nodeSelector -}}
{{- if ne (include "streamflow.text" $value) (include "streamflow.text" (get $.Values.feast.nodeSelector $key)) }}
- jobs.nodeSelector wants nodes with {{ $key }}={{ include "streamflow.text" $value }}, and feast.nodeSelector does not, on whose node the training sets are built: {{ $mend }}
{{- end }}
{{- end -}}
{{- range .Values.feast.tolerations -}}
{{- if not (has . $.Values.jobs.tolerations) }}
- feast.tolerations has {{ toJson . }}, and jobs.tolerations has not, which build the training sets on the node of feast: {{ $mend }}
{{- end }}
{{- end -}}
{{- $required := "requiredDuringSchedulingIgnoredDuringExecution" -}}
{{- $jobs := dig "nodeAffinity" $required dict (.Values.jobs.affinity | default dict) -}}
{{- if and $jobs (ne (toJson $jobs) (dig "nodeAffinity" $required dict (.Values.feast.affinity | default dict) | toJson)) }}
- jobs.affinity.nodeAffinity requires other nodes than feast.affinity.nodeAffinity, on whose node the training sets are built: {{ $mend }}
{{- end }}
{{- end }}
