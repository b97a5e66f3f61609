{{/* On which nodes a pod may run, among those of its component; everyNode leaves out what tells pods from each other. */}}
{{- define "podenv.placement" -}}
{{- $values := .root.Values -}}
{{- $lines := dict -}}
{{- range $key := list "priorityClassName" "schedulerName" }}
{{- if and (get $values $key) (not $.everyNode) }}{{ $_ := set $lines $key (get $values $key) }}{{ end -}}
{{- end -}}
{{- with $values.runtimeClassName }}{{ $_ := set $lines "runtimeClassName" . }}{{ end -}}
{{- $spot := ($values.spot | default dict).nodeSelector | default dict -}}
{{- with include "podenv.join" (list (include "podenv.present" $values.nodeSelector | fromYaml) (include "podenv.present" $spot | fromYaml) (include "podenv.architecture" $values.image | fromYaml)) | fromYaml }}{{ $_ := set $lines "nodeSelector" . }}{{ end -}}
{{- with include "podenv.tolerations" . | fromYamlArray }}{{ $_ := set $lines "tolerations" . }}{{ end -}}
{{- $affinity := include "podenv.present" $values.affinity | fromYaml -}}
{{- if .everyNode }}{{ $affinity = pick $affinity "nodeAffinity" }}{{ end -}}
{{- range $key, $value := $affinity }}
{{- if not $value }}{{ $_ := unset $affinity $key }}{{ end -}}
{{- end -}}
{{- with $affinity }}{{ $_ := set $lines "affinity" . }}{{ end -}}
{{- if not .everyNode }}
{{- $spread := list -}}
{{- $pods := dict "matchLabels" (include "podenv.selector" (dict "root" .root "component" (.component | default "task")) | fromYaml) -}}
{{- range $values.topologySpreadConstraints }}
{{- $spread = append $spread (include "podenv.join" (list . (dict "labelSelector" $pods)) | fromYaml) -}}
{{- end -}}
{{- with $spread }}{{ $_ := set $lines "topologySpreadConstraints" . }}{{ end -}}
{{- end -}}
{{- with $lines }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/* The nodes that can run an image of one platform; what is in an external image, or in an index, is not known here. */}}
{{- define "podenv.architecture" -}}
{{- $image := . | default dict -}}
{{- $platforms := $image.platforms | default (list ($image.platform | default "linux/amd64")) | uniq -}}
{{- if and (not $image.external) (eq (len $platforms) 1) -}}
{{- dict "kubernetes.io/arch" (index (splitList "/" (first $platforms)) 1) | toYaml -}}
{{- end -}}
{{- end }}

{{/* The tolerations of the values; nodeLossSeconds for a lost node unless they cover it. */}}
{{- define "podenv.tolerations" -}}
{{- $tolerations := concat (.root.Values.tolerations | default list) ((.root.Values.spot | default dict).tolerations | default list) -}}
{{- $seconds := .root.Values.nodeLossSeconds -}}
{{- if and (not (kindIs "invalid" $seconds)) (not .everyNode) }}
{{- range $taint := list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" }}
{{- $covered := false -}}
{{- range $tolerations }}{{ if eq (.key | default $taint) $taint }}{{ $covered = or $covered (has (.effect | default "NoExecute") (list "NoExecute")) }}{{ end }}{{ end -}}
{{- if not $covered }}
{{- $tolerations = append $tolerations (dict "key" $taint "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" $seconds) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $tolerations | toYaml -}}
{{- end }}

{{/* The labels by which Kueue holds a task's pod until its turn. */}}
{{- define "podenv.queue" -}}
{{- $labels := dict -}}
{{- with (.Values.kueue).queue }}{{ $_ := set $labels "kueue.x-k8s.io/queue-name" . }}{{ end -}}
{{- with (.Values.kueue).priorityClass }}{{ $_ := set $labels "kueue.x-k8s.io/priority-class" . }}{{ end -}}
{{- $labels | toYaml -}}
{{- end }}
