{{/*
Schedules as Kubernetes' CronJobs read them (robfig/cron's standard form): five fields of numbers, names,
ranges, steps and lists, or @daily and the like.
*/}}

{{/* A schedule's five fields, @daily and the like written out; @every as it is. */}}
{{- define "streamflow.schedule.fields" -}}
{{- $known := dict "@yearly" "0 0 1 1 *" "@annually" "0 0 1 1 *" "@monthly" "0 0 1 * *" "@weekly" "0 0 * * 0" "@daily" "0 0 * * *" "@midnight" "0 0 * * *" "@hourly" "0 * * * *" -}}
{{- regexReplaceAll "\\s+" (get $known . | default . | trim) " " -}}
{{- end }}

{{/*
What a field stands for, as `values` (sorted numbers), `star` (whether it leaves the choice to the others)
and `faults` (texts). Call with text, what, least, most and names (those of the numbers from `first` on).
*/}}
{{- define "streamflow.schedule.field" -}}
{{- $of := . -}}
{{- $values := dict -}}
{{- $faults := list -}}
{{- $star := false -}}
{{- range $item := splitList "," .text -}}
{{- $fault := "" -}}
{{- $parts := regexFindAll "^(\\*|\\?|[0-9]{1,9}|[A-Za-z]{3})(-([0-9]{1,9}|[A-Za-z]{3}))?(/([0-9]{1,9}))?$" $item 1 -}}
{{- if or (not $parts) (regexMatch "^[*?]-" $item) -}}
{{- $fault = printf "%s %s is no number, range, step or list" $of.what $item -}}
{{- else -}}
{{- $range := regexReplaceAll "/.*$" $item "" -}}
{{- $step := regexFind "[0-9]+$" (regexFind "/[0-9]+$" $item) | default "1" | int -}}
{{- $ends := list $of.least $of.most -}}
{{- if not (has $range (list "*" "?")) -}}
{{- $ends = list -}}
{{- range splitList "-" $range -}}
{{- $number := . -}}
{{- range $index, $name := $of.names }}{{ if eq $name (lower $number) }}{{ $number = add $index $of.first | toString }}{{ end }}{{ end -}}
{{- if not (regexMatch "^[0-9]+$" $number) -}}
{{- $fault = printf "%s %s is no number, range, step or list" $of.what $item -}}
{{- end -}}
{{- $ends = append $ends (int $number) -}}
{{- end -}}
{{- if eq (len $ends) 1 }}{{ $ends = append $ends (contains "/" $item | ternary $of.most (first $ends)) }}{{ end -}}
{{- else if le $step 1 -}}
{{- $star = true -}}
{{- end -}}
{{- $from := index $ends 0 | int -}}
{{- $to := index $ends 1 | int -}}
{{- if $fault -}}
{{- else if eq $step 0 -}}
{{- $fault = printf "%s %s has a step of 0" $of.what $item -}}
{{- else if or (lt $from $of.least) (gt $to $of.most) (gt $from $of.most) -}}
{{- $fault = printf "%s %s is not from %d to %d" $of.what $item $of.least $of.most -}}
{{- else if gt $from $to -}}
{{- $fault = printf "%s %s ends before it begins" $of.what $item -}}
{{- else -}}
{{- range untilStep $from (int (add1 $to)) $step }}{{ $_ := set $values (printf "%02d" .) . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $fault }}{{ $faults = append $faults . }}{{ end -}}
{{- end -}}
{{- $sorted := list -}}
{{- range keys $values | sortAlpha }}{{ $sorted = append $sorted (get $values .) }}{{ end -}}
{{- dict "values" $sorted "star" $star "faults" $faults | toJson -}}
{{- end }}

{{/*
What a schedule means, as `faults` (texts) and `gap` (the most seconds between two of its times; 0 where they
never come). Call with the schedule. Years repeat after eight as far as anybody plans.
*/}}
{{- define "streamflow.schedule" -}}
{{- $faults := list -}}
{{- $gap := 0 -}}
{{- $text := include "streamflow.schedule.fields" . -}}
{{- $fields := splitList " " $text -}}
{{- if hasPrefix "@every" $text -}}
{{- if regexMatch "^@every ([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$" $text -}}
{{- $units := dict "h" 3600.0 "m" 60.0 "s" 1.0 -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9.]+[a-zµ]+" (trimPrefix "@every " $text) -1 -}}
{{- $unit := regexFind "[a-zµ]+$" . -}}
{{- $seconds = addf $seconds (mulf (float64 (trimSuffix $unit .)) (get $units $unit | default 0.001)) -}}
{{- end -}}
{{- $gap = max 1 (int64 (ceil $seconds)) -}}
{{- else -}}
{{- $faults = append $faults "@every takes a duration, e.g. @every 12h" -}}
{{- end -}}
{{- else if hasPrefix "@" $text -}}
{{- $faults = append $faults (printf "%s is none of @yearly, @monthly, @weekly, @daily, @hourly and @every 12h" $text) -}}
{{- else if contains "TZ" $text -}}
{{- $faults = append $faults "a zone is not part of it: set timeZone beside it" -}}
{{- else if ne (len $fields) 5 -}}
{{- $faults = append $faults (printf "it has %d fields, not 5: minute, hour, day of the month, month, day of the week" (len $fields)) -}}
{{- else -}}
{{- $months := list "jan" "feb" "mar" "apr" "may" "jun" "jul" "aug" "sep" "oct" "nov" "dec" -}}
{{- $days := list "sun" "mon" "tue" "wed" "thu" "fri" "sat" -}}
{{- $kinds := list (list "minute" 0 59 list) (list "hour" 0 23 list) (list "day of the month" 1 31 list) (list "month" 1 12 $months) (list "day of the week" 0 6 $days) -}}
{{- $parsed := list -}}
{{- range $index, $kind := $kinds -}}
{{- $of := dict "text" (index $fields $index) "what" (index $kind 0) "least" (index $kind 1) "most" (index $kind 2) "names" (index $kind 3) "first" (index $kind 1) -}}
{{- $field := include "streamflow.schedule.field" $of | fromJson -}}
{{- $faults = concat $faults $field.faults -}}
{{- $parsed = append $parsed $field -}}
{{- end -}}
{{- if not $faults -}}
{{- $gap = include "streamflow.schedule.gap" $parsed | int64 -}}
{{- if not $gap }}{{ $faults = append $faults "its day never comes" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- dict "faults" $faults "gap" $gap | toJson -}}
{{- end }}

{{/* The most seconds between two times, 0 for none. Call with the five fields, parsed. */}}
{{- define "streamflow.schedule.gap" -}}
{{- $times := list -}}
{{- range $hour := (index . 1).values }}{{ range $minute := (index $ 0).values }}{{ $times = append $times (add (mul (int $hour) 60) (int $minute)) }}{{ end }}{{ end -}}
{{- $within := 0 -}}
{{- $before := -1 -}}
{{- range $times -}}
{{- if ge $before 0 }}{{ $within = max $within (sub . $before) }}{{ end -}}
{{- $before = int . -}}
{{- end -}}
{{- $apart := include "streamflow.schedule.days" . | int -}}
{{- if gt $apart 0 -}}
{{- mul 60 (max $within (sub (add (mul $apart 1440) (first $times)) (last $times))) -}}
{{- else -}}0{{- end -}}
{{- end }}

{{/*
The most days from one on which a schedule runs to the next, 0 for none. Call with the five fields, parsed.
Where neither day of the month nor day of the week is a star, either will do.
*/}}
{{- define "streamflow.schedule.days" -}}
{{- $dates := index . 2 -}}
{{- $weekdays := index . 4 -}}
{{- $months := (index . 3).values -}}
{{- $lengths := list 31 28 31 30 31 30 31 31 30 31 30 31 -}}
{{- $day := 0 -}}{{- /* from Monday, the first of January 2024, on */ -}}
{{- $before := -1 -}}
{{- $apart := 0 -}}
{{- if and $dates.star $weekdays.star (eq (len $months) 12) -}}
{{- $apart = 1 -}}
{{- else -}}
{{- range $year := until 8 -}}
{{- range $index, $length := $lengths -}}
{{- if and (eq $index 1) (eq (mod $year 4) 0) }}{{ $length = 29 }}{{ end -}}
{{- if has (float64 (add1 $index)) $months -}}
{{- range $date := $weekdays.star | ternary $dates.values (untilStep 1 (int (add1 $length)) 1) -}}
{{- $at := add $day (int $date) -1 | int -}}
{{- $runs := le (int $date) (int $length) -}}
{{- if and $runs (not $weekdays.star) -}}
{{- $runs = has (float64 (mod (add1 $at) 7)) $weekdays.values -}}
{{- if not $dates.star }}{{ $runs = or $runs (has (float64 $date) $dates.values) }}{{ end -}}
{{- end -}}
{{- if $runs -}}
{{- if ge $before 0 }}{{ $apart = max $apart (sub $at $before) }}{{ end -}}
{{- $before = $at -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $day = add $day $length | int -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $apart -}}
{{- end }}

{{/* A zone's offset on a day, e.g. +0100; that of UTC where nobody knows the zone. Call with zone and day. */}}
{{- define "streamflow.zone.offset" -}}
{{- dateInZone "-0700 MST" (toDate "2006-01-02" .day) .zone -}}
{{- end }}

{{/*
"true" where there is no such zone, else empty. An unknown one is taken for UTC by Helm; where not even
Berlin is known, the machine has no zones to look it up in, and Kubernetes decides.
*/}}
{{- define "streamflow.zone.unknown" -}}
{{- $utc := list "UTC" "Etc/UTC" "UCT" "Etc/UCT" "Universal" "Etc/Universal" "Zulu" "Etc/Zulu" -}}
{{- if or (eq (lower .) "local") (not (regexMatch "^[A-Za-z0-9._+-]{1,14}(/[A-Za-z0-9._+-]{1,14})*$" .)) (regexMatch "(^|/)\\.\\.?(/|$)" .) -}}
true
{{- else if and (not (has . $utc)) (eq "+0000 UTC" (include "streamflow.zone.offset" (dict "zone" . "day" "2024-01-01"))) (ne "+0000 UTC" (include "streamflow.zone.offset" (dict "zone" "Europe/Berlin" "day" "2024-01-01"))) -}}
true
{{- end -}}
{{- end }}

{{/*
Seconds after which a command's last success is too long ago: as its values say, or what its schedule
leaves between two runs, with summer time, a late start and all attempts of a Job. Call with root and command.
*/}}
{{- define "streamflow.schedule.overdue" -}}
{{- $values := index .root.Values.jobs .command -}}
{{- $given := index .root.Values.metrics.prometheusRule.overdueAfterSeconds .command | int64 -}}
{{- if $given -}}
{{- $given -}}
{{- else -}}
{{- $gap := (include "streamflow.schedule" $values.schedule | fromJson).gap | int64 -}}
{{- $fields := include "streamflow.schedule.fields" $values.schedule | splitList " " -}}
{{- $winter := include "streamflow.zone.offset" (dict "zone" $values.timeZone "day" "2024-01-15") -}}
{{- if and (ne $winter (include "streamflow.zone.offset" (dict "zone" $values.timeZone "day" "2024-07-15"))) (eq (len $fields) 5) -}}
{{- $gap = add $gap 3600 -}}
{{- /* A time that is skipped in spring does not come on that day at all; it is one of the first hours. */ -}}
{{- $hours := (include "streamflow.schedule.field" (dict "text" (index $fields 1) "what" "hour" "least" 0 "most" 23 "names" list "first" 0) | fromJson).values -}}
{{- if lt (first $hours | int) 4 }}{{ $gap = add $gap 86400 }}{{ end -}}
{{- end -}}
{{- add $gap (int64 $values.startingDeadlineSeconds) (include "streamflow.schedule.deadline" . | int64) -}}
{{- end -}}
{{- end }}

{{/* How long a Job of a command may run, in seconds, all attempts together. Call with root and command. */}}
{{- define "streamflow.schedule.deadline" -}}
{{- get (index .root.Values.jobs .command) "activeDeadlineSeconds" | default .root.Values.jobs.activeDeadlineSeconds | int64 -}}
{{- end }}

{{- define "streamflow.validate.schedules" -}}
{{- range $command := list "materialize" "audit" "backup" -}}
{{- $values := index $.Values.jobs $command -}}
{{- $on := toString $values.enabled -}}
{{- if eq $command "backup" }}{{ $on = include "streamflow.backup.on" $ }}{{ end -}}
{{- if eq $on "true" -}}
{{- range (include "streamflow.schedule" $values.schedule | fromJson).faults }}
- jobs.{{ $command }}.schedule is {{ $values.schedule }}: {{ . }}; write it like "0 3 1 * *" or @daily
{{- end }}
{{- if include "streamflow.zone.unknown" $values.timeZone }}
- jobs.{{ $command }}.timeZone is {{ $values.timeZone }}, which this machine's list of time zones has not: write it as that list does, e.g. Europe/Berlin or Etc/UTC
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}
