{{/* A map without the keys that a values file set to null, at any depth. */}}
{{- define "podenv.present" -}}
{{- $present := dict -}}
{{- range $key, $value := . }}
{{- if kindIs "map" $value }}
{{- $_ := set $present $key (include "podenv.present" $value | fromYaml) -}}
{{- else if not (kindIs "invalid" $value) }}
{{- $_ := set $present $key $value -}}
{{- end -}}
{{- end -}}
{{- $present | toYaml -}}
{{- end }}

{{/* One map of several, key by key: the first that has a key wins. Sprig's merge takes false and "" for missing. */}}
{{- define "podenv.join" -}}
{{- $joined := dict -}}
{{- range $map := . }}
{{- range $key, $value := $map }}
{{- if not (hasKey $joined $key) }}{{ $_ := set $joined $key $value }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $joined | toYaml -}}
{{- end }}

{{/* A map of Kubernetes quantities, each as a text: Helm holds a number as a float. */}}
{{- define "podenv.quantity" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) (lt . 1e15) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end }}

{{- define "podenv.quantities" -}}
{{- $quantities := dict -}}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $quantities $name (include "podenv.quantity" $value) }}{{ end -}}
{{- end -}}
{{- $quantities | toYaml -}}
{{- end }}
