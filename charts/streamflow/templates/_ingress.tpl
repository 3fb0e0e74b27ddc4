{{/* The Ingress of a part that answers HTTP; empty where it is off. Call with root and part. */}}
{{- define "streamflow.ingress.manifest" -}}
{{- $part := index .root.Values .part -}}
{{- $name := include (printf "streamflow.%s.name" .part) .root -}}
{{- with $part.ingress -}}
{{- if and .enabled $part.enabled -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $name }}
  labels:
    {{- include "streamflow.labels" $ | nindent 4 }}
  {{- with include "streamflow.texts" .annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  {{- with .className }}
  ingressClassName: {{ . | quote }}
  {{- end }}
  {{- with .tls }}
  tls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  rules:
    {{- $path := .path | default "/" }}
    {{- range .hosts }}
    - host: {{ . | quote }}
      http:
        paths:
          - path: {{ $path | quote }}
            pathType: Prefix
            backend:
              service:
                name: {{ $name }}
                port:
                  name: http
    {{- end }}
{{- end -}}
{{- end -}}
{{- end }}
