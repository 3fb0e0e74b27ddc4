{{/*
Materializations from the lake by Spark. Their Job's pod is the driver: it has Kubernetes make the executors' pods, which
are its own, so that they end with it. Each executor reads the lake and writes to PostgreSQL; the driver merges.
*/}}

{{/* "true" when a materialization reads the lake, else empty. */}}
{{- define "streamflow.materialize.fromLake" -}}
{{- with .Values.jobs.materialize -}}
{{- $from := list -}}
{{- if .enabled }}{{ $from = append $from .from }}{{ end -}}
{{- range .backfills }}{{ $from = append $from (.from | default "database") }}{{ end -}}
{{- if has "lake" $from }}true{{ end -}}
{{- end -}}
{{- end }}

{{/* "true" when executors do it, else empty. */}}
{{- define "streamflow.spark.on" -}}
{{- if .Values.jobs.spark.enabled }}{{ include "streamflow.materialize.fromLake" . }}{{ end -}}
{{- end }}

{{- define "streamflow.spark.name" -}}{{ include "streamflow.fullname" . }}-spark{{- end }}

{{- define "streamflow.spark.image" -}}
{{ include "streamflow.image" (dict "image" .Values.jobs.spark.image "registry" .Values.image.registry "tag" (.Values.jobs.image.tag | default .Chart.AppVersion)) }}
{{- end }}

{{/* Tasks that executors have at once, each with a connection to PostgreSQL. */}}
{{- define "streamflow.spark.tasks" -}}
{{- mul .Values.jobs.spark.executors .Values.jobs.spark.cores -}}
{{- end }}

{{/* The ports of an application's pods, which its NetworkPolicies name: the driver's, and that of blocks of rows. */}}
{{- define "streamflow.spark.ports" -}}
driver: 7078
blocks: 7079
{{- end }}

{{/* Variables of the driver's container. */}}
{{- define "streamflow.spark.env" -}}
- name: STREAMFLOW_SPARK_CONNECTIONS
  value: {{ include "streamflow.spark.tasks" . | quote }}
- name: STREAMFLOW_SPARK_WAIT_S
  value: {{ .Values.jobs.spark.waitSeconds | int | quote }}
- name: SPARK_CONF_DIR
  value: /etc/streamflow/spark
- name: STREAMFLOW_POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
# What only the pod knows; STREAMFLOW_POD is its name.
- name: PYSPARK_SUBMIT_ARGS
  value: >-
    --conf spark.kubernetes.driver.pod.name=$(STREAMFLOW_POD)
    --conf spark.driver.host=$(STREAMFLOW_POD_IP)
    pyspark-shell
{{- end }}

{{/* Spark's settings, as a map. */}}
{{- define "streamflow.spark.conf" -}}
{{- $spark := .Values.jobs.spark -}}
{{- $ports := include "streamflow.spark.ports" . | fromYaml -}}
{{- $mebibytes := divf (float64 (include "streamflow.quantity" $spark.memory)) 1048576.0 | floor | int64 -}}
{{- $heap := div $mebibytes 2 -}}
spark.master: k8s://https://kubernetes.default.svc
spark.kubernetes.namespace: {{ .Release.Namespace | quote }}
spark.kubernetes.container.image: {{ include "streamflow.spark.image" . | quote }}
spark.kubernetes.container.image.pullPolicy: {{ .Values.image.pullPolicy }}
spark.kubernetes.executor.podTemplateFile: /etc/streamflow/spark/executor.yaml
spark.kubernetes.executor.podTemplateContainerName: executor
# What it would have is in the template: the driver needs no right to make ConfigMaps.
spark.kubernetes.executor.disableConfigMap: "true"
# Nor to delete Services and claims, of which an application in client mode has none.
spark.kubernetes.driver.service.deleteOnTermination: "false"
spark.kubernetes.driver.ownPersistentVolumeClaim: "false"
spark.kubernetes.executor.request.cores: {{ include "streamflow.text" $spark.cpu | quote }}
spark.executor.instances: {{ $spark.executors | int | quote }}
spark.executor.cores: {{ $spark.cores | int | quote }}
# The rest is Python's, which reads the lake and writes to PostgreSQL.
spark.executor.memory: {{ $heap }}m
spark.executor.memoryOverhead: {{ sub $mebibytes $heap }}m
spark.driver.memory: 512m
spark.driver.port: {{ $ports.driver | quote }}
spark.blockManager.port: {{ $ports.blocks | quote }}
spark.driver.blockManager.port: {{ $ports.blocks | quote }}
spark.port.maxRetries: "0"
spark.driver.extraJavaOptions: -Dlog4j2.configurationFile=/etc/streamflow/spark/log4j2.properties
spark.executor.extraJavaOptions: -Dlog4j2.configurationFile=/etc/streamflow/spark/log4j2.properties
{{- end }}

{{/* The pod of an executor, to which Spark adds its own. */}}
{{- define "streamflow.spark.executor" -}}
{{- $jobsPart := dict "root" . "part" "jobs" "component" "spark" "reads" false -}}
{{- $disk := dict -}}
{{- range $kind := list "requests" "limits" -}}
{{- with dig $kind "ephemeral-storage" "" ($.Values.jobs.resources | default dict) }}{{ $_ := set $disk $kind (dict "ephemeral-storage" .) }}{{ end -}}
{{- end -}}
apiVersion: v1
kind: Pod
metadata:
  {{- include "streamflow.pod.metadata" $jobsPart | nindent 2 }}
spec:
  restartPolicy: Never
  {{- include "streamflow.pod.spec" $jobsPart | nindent 2 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "streamflow.selectorLabels" $jobsPart | nindent 10 }}
  {{- with include "streamflow.containers.first" $jobsPart }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: executor
      image: {{ include "streamflow.spark.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [python, -m, streamflow.spark.executor]
      env:
        {{- $own := include "streamflow.postgres.env" (dict "root" . "role" "writer") }}
        {{- include "streamflow.env" (merge (dict "own" $own) $jobsPart) | nindent 8 }}
      {{- with concat (.Values.jobs.lake.envFrom | default list) (.Values.jobs.extraEnvFrom | default list) }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $disk }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "streamflow.container.security" $jobsPart | nindent 8 }}
      volumeMounts:
        {{- include "streamflow.mounts" (merge (dict "own" (include "streamflow.spark.mounts" . | fromYamlArray)) $jobsPart) | nindent 8 }}
  volumes:
    {{- include "streamflow.volumes" (merge (dict "own" (include "streamflow.spark.volumes" . | fromYamlArray)) $jobsPart) | nindent 4 }}
{{- end }}

{{/* The mount of Spark's settings, as a list. */}}
{{- define "streamflow.spark.mounts" -}}
- name: spark
  mountPath: /etc/streamflow/spark
  readOnly: true
{{- end }}

{{/* Their volume, as a list. */}}
{{- define "streamflow.spark.volumes" -}}
- name: spark
  configMap:
    name: {{ include "streamflow.spark.name" . }}
{{- end }}

{{/* The files of Spark's settings, as a map: spark-defaults.conf, which are Java's properties, and the template. */}}
{{- define "streamflow.spark.files" -}}
{{- $conf := merge (deepCopy (.Values.jobs.spark.conf | default dict)) (include "streamflow.spark.conf" . | fromYaml) -}}
spark-defaults.conf: |
  {{- range $name, $value := $conf }}
  {{ $name }} {{ include "streamflow.text" $value | replace "\\" "\\\\" }}
  {{- end }}
executor.yaml: |
  {{- include "streamflow.spark.executor" . | nindent 2 }}
log4j2.properties: |
  {{- .Files.Get "files/log4j2.properties" | trim | nindent 2 }}
{{- end }}

{{/* The pods of drivers, as a peer. */}}
{{- define "streamflow.spark.driver" -}}
podSelector:
  matchLabels:
    {{- include "streamflow.selectorLabels" (dict "root" . "part" "jobs") | nindent 4 }}
    {{ include "streamflow.spark.driverLabel" . }}
{{- end }}

{{/* The label by which these are told from the pods of other Jobs. */}}
{{- define "streamflow.spark.driverLabel" -}}
streamflow/spark: driver
{{- end }}
