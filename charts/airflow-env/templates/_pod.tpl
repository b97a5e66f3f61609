{{/*
The pod of a task: root, and where it is not Airflow that sets one, a command. A pod that waits for a task has a component,
a restartPolicy, more settings of the container, and more variables.
*/}}
{{- define "podenv.podSpec" -}}
{{- $values := .root.Values -}}
{{- include "podenv.identity" .root }}
{{ include "podenv.placement" (dict "root" .root "component" .component) }}
restartPolicy: {{ .restartPolicy | default "Never" }}
enableServiceLinks: false
{{- if not (kindIs "invalid" $values.terminationGracePeriodSeconds) }}
terminationGracePeriodSeconds: {{ int64 $values.terminationGracePeriodSeconds }}
{{- end }}
{{- with $values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with include "podenv.present" $values.dnsConfig | fromYaml }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "podenv.initContainers" .root | fromYamlArray }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: base
    {{- include "podenv.container" .root | nindent 4 }}
    {{- with .command }}
    command:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .more }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with concat (include "podenv.env" .root | fromYamlArray) (.env | default list) }}
    env:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $values.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with include "podenv.volumeMounts" .root | fromYamlArray }}
    volumeMounts:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- with include "podenv.volumes" .root | fromYamlArray }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* As whom a pod runs, and with what it pulls. */}}
{{- define "podenv.identity" -}}
serviceAccountName: {{ include "podenv.serviceAccount" . | quote }}
automountServiceAccountToken: {{ (.Values.serviceAccount).automount | default false }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "podenv.present" .Values.podSecurityContext | fromYaml }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Requests and limits of a task. Memory that is auto is learned by podenv; to all others it is the most it grows to. */}}
{{- define "podenv.resources" -}}
{{- $given := .Values.resources | default dict -}}
{{- $resources := dict -}}
{{- range $kind := list "requests" "limits" }}
{{- with include "podenv.quantities" (index $given $kind) | fromYaml }}{{ $_ := set $resources $kind . }}{{ end -}}
{{- end -}}
{{- if eq "auto" (dig "limits" "memory" "" $resources) }}{{ $_ := set $resources.limits "memory" (include "podenv.quantity" $given.maxMemory) }}{{ end -}}
{{- $resources | toYaml -}}
{{- end }}

{{/* The settings that the container of a task shares with the init containers. */}}
{{- define "podenv.container" -}}
image: {{ include "podenv.image" . | quote }}
{{- with (.Values.image).pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with include "podenv.resources" . | fromYaml }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "podenv.present" .Values.securityContext | fromYaml }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "podenv.initContainers" -}}
{{- $containers := list -}}
{{- range .Values.initContainers }}
{{- $containers = append $containers (include "podenv.join" (list . (include "podenv.container" $ | fromYaml)) | fromYaml) -}}
{{- end -}}
{{- $containers | toYaml -}}
{{- end }}
