{{/*
Database roles. Each is entered through a login of its own, of which there are two, so that another
password belongs to the other login and the former one goes on for a while.
*/}}

{{/* "true" when each part has a role of its own, else empty. */}}
{{- define "streamflow.roles.on" -}}
{{- $enabled := toString .Values.postgres.roles.enabled -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") (not .Values.postgres.external.enabled)) -}}true{{- end -}}
{{- end }}

{{/* "true" when this release creates the roles, else empty. */}}
{{- define "streamflow.roles.created" -}}
{{- if and (include "streamflow.roles.on" .) .Values.postgres.roles.create -}}true{{- end -}}
{{- end }}

{{- define "streamflow.roles.all" -}}[owner, writer, trainer, reader, viewer]{{- end }}

{{/* The Secret of a role: the release's own, or an existing one. Call with root and role. */}}
{{- define "streamflow.roles.secret" -}}
{{- default (printf "%s-%s" (include "streamflow.postgres.name" .root) .role) (index .root.Values.postgres.roles .role).existingSecret -}}
{{- end }}

{{/*
The generated login of a role, as username and password: the one in its Secret; where `rotation`
is another than there, the other login with a new password. Made once per rendering. Call with
root and role.
*/}}
{{- define "streamflow.roles.login" -}}
{{- $key := printf "loginOf-%s" .role -}}
{{- if not (hasKey .root.Release $key) -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace (include "streamflow.roles.secret" .) -}}
{{- $username := get ($found.data | default dict) "username" | b64dec -}}
{{- $password := get ($found.data | default dict) "password" | b64dec -}}
{{- $names := printf "%s_%s_" .root.Values.postgres.roles.prefix .role -}}
{{- if not (has $username (list (printf "%sa" $names) (printf "%sb" $names))) -}}
{{- $username = printf "%sa" $names -}}
{{- $password = "" -}}
{{- else if ne (include "streamflow.roles.rotation" .) (dig "metadata" "annotations" "streamflow/rotation" "" $found) -}}
{{- $username = printf "%s%s" $names (hasSuffix "_a" $username | ternary "b" "a") -}}
{{- $password = "" -}}
{{- end -}}
{{- $_ := set .root.Release $key (dict "username" $username "password" ($password | default (randAlphaNum 32))) -}}
{{- end -}}
{{- get .root.Release $key | toYaml -}}
{{- end }}

{{/* What `rotation` of a role is, as text. Call with root and role. */}}
{{- define "streamflow.roles.rotation" -}}
{{- include "streamflow.text" (index .root.Values.postgres.roles .role).rotation -}}
{{- end }}

{{/*
Changes with the login of a role and with its `rotation`, which is all that is known of an existing
Secret where there is no cluster to look it up in. Call with root and role.
*/}}
{{- define "streamflow.roles.checksum" -}}
{{- $login := "" -}}
{{- if (index .root.Values.postgres.roles .role).existingSecret -}}
{{- $login = lookup "v1" "Secret" .root.Release.Namespace (include "streamflow.roles.secret" .) | dig "data" dict | toJson -}}
{{- else -}}
{{- $login = include "streamflow.roles.login" . -}}
{{- end -}}
{{- printf "%s %s" $login (include "streamflow.roles.rotation" .) | sha256sum -}}
{{- end }}

{{/* `valueFrom:` of a login's `username` or `password` in a role's Secret. Call with root, role and key. */}}
{{- define "streamflow.roles.from" -}}
valueFrom:
  secretKeyRef:
    name: {{ include "streamflow.roles.secret" . | quote }}
    key: {{ include "streamflow.roles.key" . | quote }}
{{- end }}

{{/* The key of `username` or `password`; a generated Secret has these. Call as streamflow.roles.from. */}}
{{- define "streamflow.roles.key" -}}
{{- $role := index .root.Values.postgres.roles .role -}}
{{- $role.existingSecret | empty | ternary .key (get $role (printf "%sKey" .key)) -}}
{{- end }}

{{/*
What creates the roles and gives them their rights and passwords, as arguments of streamflow.job
and streamflow.job.container. The former login goes on as long as a Job that began with it may.
*/}}
{{- define "streamflow.roles.job" -}}
{{- $args := list "db" "roles" -}}
{{- $env := list -}}
{{- $checksums := list -}}
{{- range $role := include "streamflow.roles.all" . | fromYamlArray -}}
{{- $args = concat $args (list (printf "--%s" $role) (printf "%s_%s" $.Values.postgres.roles.prefix $role)) -}}
{{- range $what, $key := dict "LOGIN" "username" "PASSWORD" "password" -}}
{{- $from := include "streamflow.roles.from" (dict "root" $ "role" $role "key" $key) | fromYaml -}}
{{- $env = append $env (merge (dict "name" (printf "STREAMFLOW_%s_%s" (upper $role) $what)) $from) -}}
{{- end -}}
{{- $checksums = append $checksums (include "streamflow.roles.checksum" (dict "root" $ "role" $role)) -}}
{{- end -}}
{{- $env = append $env (dict "name" "STREAMFLOW_FORMER_LOGIN_S" "value" (include "streamflow.job.longest" .)) -}}
{{- $annotations := dict "checksum/secret" (join " " $checksums | sha256sum) -}}
{{- dict "what" "roles" "name" "roles" "role" "admin" "args" $args "env" (toYaml $env) "annotations" $annotations "untracked" true | toYaml -}}
{{- end }}
