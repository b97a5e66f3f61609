{{/* Idle pods: a null in warm.idle leaves their number to others, and without it there are none. */}}
{{- define "podenv.hasPool" -}}
{{- $warm := .Values.warm | default dict -}}
{{- if and (hasKey $warm "idle") (or (kindIs "invalid" $warm.idle) (gt (int $warm.idle) 0)) -}}yes{{- end -}}
{{- end }}

{{/* The Pods of a Deployment can be over from Kubernetes 1.35 on, where a container has a restartPolicy of its own. */}}
{{- define "podenv.poolKind" -}}
{{- if semverCompare ">=1.35-0" .Capabilities.KubeVersion.Version -}}Deployment{{- else -}}Job{{- end -}}
{{- end }}

{{/* The pod that waits for a task: root, and the hash of what all this makes without one. */}}
{{- define "podenv.idlePod" -}}
{{- $root := .root -}}
{{- $labels := dict "podenv.dev/warm" (include "podenv.name" $root) -}}
{{- with .hash }}{{ $_ := set $labels "podenv.dev/template" . }}{{ end -}}
{{- $container := dict
  "command" (list "python" "-c" ($root.Files.Get "files/loader.txt"))
  "stdin" true
  "stdinOnce" true
-}}
{{- $restart := "Never" -}}
{{- if eq (include "podenv.poolKind" $root) "Deployment" }}
{{- $restart = "Always" -}}
{{- $_ := set $container "restartPolicy" "Never" -}}
{{- /* What the loader ends with where an import fails. Kubernetes waits ever longer before it tries again. */}}
{{- $broken := dict "operator" "In" "values" (list 213) -}}
{{- $_ := set $container "restartPolicyRules" (list (dict "action" "Restart" "exitCodes" $broken)) -}}
{{- end -}}
{{- $variables := list (dict "name" "PODENV_RUN_CODE" "value" ($root.Files.Get "files/runtime.txt" | trim)) -}}
{{- with $root.Values.warm.imports }}
{{- $variables = append $variables (dict "name" "PODENV_WARM_IMPORTS" "value" (toJson .)) -}}
{{- end -}}
metadata:
  labels:
    {{- include "podenv.join" (list
      $labels
      (include "podenv.selector" (dict "root" $root "component" "warm") | fromYaml)
      (include "podenv.digestLabel" $root | fromYaml)
      (include "podenv.present" $root.Values.podLabels | fromYaml)
      (include "podenv.labels" $root | fromYaml)
    ) | nindent 4 }}
  annotations:
    {{- /* An idle pod holds no work that could be lost: it keeps no node. */}}
    {{- include "podenv.join" (list
      (dict "cluster-autoscaler.kubernetes.io/safe-to-evict" "true")
      (include "podenv.contract" $root | fromYaml)
      (omit (include "podenv.present" $root.Values.podAnnotations | fromYaml) "karpenter.sh/do-not-disrupt")
      (include "podenv.present" $root.Values.extraAnnotations | fromYaml)
    ) | nindent 4 }}
spec:
  {{- include "podenv.podSpec" (dict
    "root" $root
    "component" "warm"
    "restartPolicy" $restart
    "more" $container
    "env" $variables
  ) | nindent 2 }}
{{- end }}

{{/* Tells the pods of one template from those of another: 32 hex digits, as much as a label holds of a SHA-256. */}}
{{- define "podenv.poolHash" -}}
{{- include "podenv.idlePod" (dict "root" .) | sha256sum | trunc 32 -}}
{{- end }}

{{/* Which idle pods are those of the PodTemplate. */}}
{{- define "podenv.poolContract" -}}
{{- if include "podenv.hasPool" . -}}
podenv.dev/warm: {{ include "podenv.poolHash" . | quote }}
{{- end -}}
{{- end }}
