{{- define "blnk-exporter.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- /* The name is fixed: Prometheus' label job is taken from it, and the rules go by that. */}}
{{- define "blnk-exporter.selector" -}}
app.kubernetes.io/name: blnk-exporter
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "blnk-exporter.labels" -}}
{{ include "blnk-exporter.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: blnk
app.kubernetes.io/component: monitoring
{{- end }}

{{- define "blnk-exporter.metadata" -}}
name: {{ include "blnk-exporter.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "blnk-exporter.labels" . | nindent 2 }}
{{- end }}

{{- define "blnk-exporter.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "blnk-exporter.name" .) "default") -}}
{{- end }}

{{- define "blnk-exporter.image" -}}
{{- $image := .Values.image -}}
{{- $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* The path that all pages are below: web.route_prefix, or the path of web.external_url. */}}
{{- define "blnk-exporter.prefix" -}}
{{- $web := .Values.config.web | default dict -}}
{{- $path := (urlParse ($web.external_url | default "")).path -}}
{{- if not (kindIs "invalid" $web.route_prefix) }}{{ $path = $web.route_prefix }}{{ end -}}
{{- with trimAll "/" $path }}/{{ . }}{{ end -}}
{{- end }}

{{- /* A text as it stands between the quotes of a JSON string. */}}
{{- define "blnk-exporter.quoted" -}}
{{- . | toJson | trimPrefix "\"" | trimSuffix "\"" -}}
{{- end }}
