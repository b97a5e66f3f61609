{{/* Whom the release lets launch pods, as subjects of a RoleBinding. */}}
{{- define "podenv.launchers" -}}
{{- $access := .Values.access | default dict -}}
{{- $subjects := list -}}
{{- range $access.serviceAccounts }}
{{- $subjects = append $subjects (dict "kind" "ServiceAccount" "name" .name "namespace" .namespace) -}}
{{- end -}}
{{- range $access.users }}
{{- $subjects = append $subjects (dict "kind" "User" "name" . "apiGroup" "rbac.authorization.k8s.io") -}}
{{- end -}}
{{- range $access.groups }}
{{- $subjects = append $subjects (dict "kind" "Group" "name" . "apiGroup" "rbac.authorization.k8s.io") -}}
{{- end -}}
{{- if $subjects }}{{ toYaml $subjects }}{{ end -}}
{{- end }}
