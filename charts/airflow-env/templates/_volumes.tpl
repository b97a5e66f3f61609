{{/* Volumes: those of the values, /tmp unless one of them is mounted there, and /dev/shm where asked for. */}}
{{- define "podenv.ownVolumes" -}}
{{- $paths := list -}}
{{- range .Values.volumeMounts }}{{ $paths = append $paths (.mountPath | trimSuffix "/") }}{{ end -}}
{{- $own := dict -}}
{{- with .Values.tmp }}
{{- if not (has "/tmp" $paths) }}
{{- $folder := dict -}}
{{- if not (kindIs "invalid" .size) }}{{ $_ := set $folder "sizeLimit" (include "podenv.quantity" .size) }}{{ end -}}
{{- with .medium }}{{ $_ := set $folder "medium" . }}{{ end -}}
{{- $_ := set $own "tmp" (dict "path" "/tmp" "folder" $folder) -}}
{{- end -}}
{{- end -}}
{{- with (.Values.sharedMemory).size }}
{{- if not (has "/dev/shm" $paths) }}
{{- $folder := dict "medium" "Memory" "sizeLimit" (include "podenv.quantity" .) -}}
{{- $_ := set $own "shm" (dict "path" "/dev/shm" "folder" $folder) -}}
{{- end -}}
{{- end -}}
{{- $own | toYaml -}}
{{- end }}

{{- define "podenv.volumes" -}}
{{- $volumes := .Values.volumes | default list -}}
{{- range $name, $own := include "podenv.ownVolumes" . | fromYaml }}
{{- $volumes = append $volumes (dict "name" (printf "podenv-%s" $name) "emptyDir" $own.folder) -}}
{{- end -}}
{{- $volumes | toYaml -}}
{{- end }}

{{- define "podenv.volumeMounts" -}}
{{- $mounts := .Values.volumeMounts | default list -}}
{{- range $name, $own := include "podenv.ownVolumes" . | fromYaml }}
{{- $mounts = append $mounts (dict "name" (printf "podenv-%s" $name) "mountPath" $own.path) -}}
{{- end -}}
{{- $mounts | toYaml -}}
{{- end }}
