{{/* Refuses to render what would go out wrong; each message says what to do. */}}
{{- define "podenv.check" -}}
{{- $name := include "podenv.name" . -}}
{{- $_ := include "podenv.image" . -}}
{{- with .Values.namespace }}
{{- if ne . $.Release.Namespace }}
{{- fail (printf "environment %q belongs to the namespace %q, as its values say, not to %q: pass --namespace %s, or deploy with `podenv deploy %s`." $name . $.Release.Namespace . $name) -}}
{{- end -}}
{{- end -}}
{{- end }}
