{{/*
The environment variables of a task. Where several values name one variable, a reference wins over a plain text.
Kubernetes would expand $(NAME) in a plain text: doubled, a $ arrives as it was written.
*/}}
{{- define "podenv.env" -}}
{{- $sources := dict -}}
{{- if .Values.tmp }}{{ $_ := set $sources "HOME" (dict "value" "/tmp") }}{{ end -}}
{{- range $name, $text := .Values.env }}
{{- if not (kindIs "invalid" $text) }}{{ $_ := set $sources $name (dict "value" ($text | replace "$" "$$")) }}{{ end -}}
{{- end -}}
{{- range $name, $field := .Values.fieldEnv }}
{{- if $field }}{{ $_ := set $sources $name (dict "valueFrom" (dict "fieldRef" (dict "fieldPath" $field))) }}{{ end -}}
{{- end -}}
{{- range $name, $entry := .Values.configMapEnv }}
{{- if $entry }}{{ $_ := set $sources $name (dict "valueFrom" (dict "configMapKeyRef" (include "podenv.present" $entry | fromYaml))) }}{{ end -}}
{{- end -}}
{{- range $name, $entry := .Values.secretEnv }}
{{- if $entry }}{{ $_ := set $sources $name (dict "valueFrom" (dict "secretKeyRef" (include "podenv.present" $entry | fromYaml))) }}{{ end -}}
{{- end -}}
{{- $variables := list -}}
{{- range $name, $source := $sources }}
{{- $variables = append $variables (set $source "name" $name) -}}
{{- end -}}
{{- $variables | toYaml -}}
{{- end }}
