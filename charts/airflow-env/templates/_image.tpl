{{/* The image of the environment; by its digest wherever that is known. */}}
{{- define "podenv.image" -}}
{{- $image := .Values.image | default dict -}}
{{- $name := include "podenv.name" . -}}
{{- $repository := $image.repository | default (include "podenv.imageRepository" .) -}}
{{- if $image.registry -}}
{{- $repository = printf "%s/%s" $image.registry $repository -}}
{{- else if not $image.repository -}}
{{- fail (printf "image.registry of environment %q is missing: set it in envs/defaults.yaml, or deploy with `podenv deploy %s`." $name $name) -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else if $image.tag -}}
{{- printf "%s:%s" $repository $image.tag -}}
{{- else -}}
{{- fail (printf "image.digest of environment %q is missing, and image.tag too: run `podenv build %s --push` and `podenv deploy %s`, or pass --set image.digest=sha256:..." $name $name $name) -}}
{{- end -}}
{{- end }}
