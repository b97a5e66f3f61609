{{/*
Every derived name; src/podenv/catalogue/names.py mirrors this file, and tests/chart/test_names.py compares the two.
*/}}

{{- define "podenv.name" -}}
{{- if or (gt (len .Release.Name) 40) (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .Release.Name)) -}}
{{- fail (printf "%q cannot name an environment: use at most 40 lower-case letters, digits and '-', beginning and ending with a letter or a digit (a DNS-1123 label)." .Release.Name) -}}
{{- end -}}
{{- .Release.Name -}}
{{- end }}

{{- define "podenv.part" -}}
{{- printf "%s-%s" (include "podenv.name" .root) .role -}}
{{- end }}

{{- define "podenv.imageRepository" -}}
podenv-{{ include "podenv.name" . }}
{{- end }}

{{- define "podenv.serviceAccount" -}}
{{- $account := .Values.serviceAccount | default dict -}}
{{- if $account.name -}}
{{- $account.name -}}
{{- else if $account.create -}}
{{- include "podenv.name" . -}}
{{- else -}}
default
{{- end -}}
{{- end }}

{{/* Labels that pick the environment's pods of one kind (.component); they never change, so that selectors can hold them. */}}
{{- define "podenv.selector" -}}
podenv.dev/environment: {{ include "podenv.name" .root | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of every object; the environment's own below those that others rely on. */}}
{{- define "podenv.labels" -}}
{{- $own := dict
  "podenv.dev/environment" (include "podenv.name" .)
  "app.kubernetes.io/name" .Chart.Name
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/managed-by" .Release.Service
-}}
{{- include "podenv.join" (list $own (include "podenv.present" .Values.extraLabels | fromYaml)) -}}
{{- end }}

{{/* The label of a pod that names its image. */}}
{{- define "podenv.digestLabel" -}}
{{- with (.Values.image).digest -}}
podenv.dev/digest: {{ . | trimPrefix "sha256:" | trunc 32 | quote }}
{{- end -}}
{{- end }}

{{- define "podenv.contract" -}}
{{- $own := dict "podenv.dev/python" .Values.python "podenv.dev/version" .Chart.AppVersion -}}
{{- with (.Values.image).digest }}{{ $_ := set $own "podenv.dev/digest" . }}{{ end -}}
{{- with (.Values.lock).hash }}{{ $_ := set $own "podenv.dev/lock" . }}{{ end -}}
{{- if not (kindIs "invalid" .Values.relaunch) }}{{ $_ := set $own "podenv.dev/relaunch" (.Values.relaunch | int | toString) }}{{ end -}}
{{- $timeouts := dict -}}
{{- range $name, $seconds := .Values.timeouts | default dict -}}
{{- if not (kindIs "invalid" $seconds) }}{{ $_ := set $timeouts $name ($seconds | int) }}{{ end -}}
{{- end -}}
{{- with .Values.spot }}
{{- if or (include "podenv.present" .nodeSelector | fromYaml) .tolerations }}{{ $_ := set $own "podenv.dev/spot" (dict "tries" (.tries | default 2 | int) "nodeSelector" (include "podenv.present" .nodeSelector | fromYaml) "tolerations" (.tolerations | default list) | toJson) }}{{ end -}}
{{- end -}}
{{- with $timeouts }}{{ $_ := set $own "podenv.dev/timeouts" (toJson .) }}{{ end -}}
{{- $own | toYaml -}}
{{- end }}

{{/* How the memory of a task is learned, for the metadata of the PodTemplate alone. */}}
{{- define "podenv.memory" -}}
{{- $given := .Values.resources | default dict -}}
{{- $own := dict -}}
{{- if eq "auto" (($given.limits | default dict).memory | default "" | toString) }}{{ $_ := set $own "podenv.dev/first-memory" (include "podenv.quantity" (($given.requests | default dict).memory | default "512Mi")) }}{{ end -}}
{{- with $given.maxMemory }}{{ $_ := set $own "podenv.dev/max-memory" (include "podenv.quantity" .) }}{{ end -}}
{{- $hard := (.Values.resourceQuota).hard | default dict -}}
{{- $bounds := list -}}
{{- range list ((.Values.limitRange).max | default dict).memory (index $hard "limits.memory") (index $hard "requests.memory") (index $hard "memory") }}
{{- if not (kindIs "invalid" .) }}{{ $bounds = append $bounds (include "podenv.quantity" .) }}{{ end -}}
{{- end -}}
{{- with $bounds }}{{ $_ := set $own "podenv.dev/memory-bounds" (join "," .) }}{{ end -}}
{{- $own | toYaml -}}
{{- end }}

{{/* The chart's name and version. Objects have it, but not their pods: a new version alone relaunches none of them. */}}
{{- define "podenv.chart" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{- end }}

{{/* name, namespace, labels and annotations of one object: root, and where given its role, labels, annotations. */}}
{{- define "podenv.metadata" -}}
{{- $root := .root -}}
{{- $name := ternary (include "podenv.name" $root) (include "podenv.part" .) (empty .role) -}}
{{- $labels := include "podenv.join" (list
  .labels
  (include "podenv.chart" $root | fromYaml)
  (include "podenv.labels" $root | fromYaml)
) -}}
{{- $annotations := include "podenv.join" (list .annotations (include "podenv.present" $root.Values.extraAnnotations | fromYaml)) | fromYaml -}}
name: {{ .name | default $name | quote }}
namespace: {{ $root.Release.Namespace | quote }}
labels:
  {{- $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
