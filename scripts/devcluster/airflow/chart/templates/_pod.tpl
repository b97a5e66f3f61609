{{/* The environment of every Airflow process, as the official chart has it; and $.env, $.secret of the values. */}}
{{- define "env" -}}
- {name: AIRFLOW_HOME, value: /opt/airflow}
- name: AIRFLOW__CORE__FERNET_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.fernetKeySecretName }}, key: fernet-key}}
- name: AIRFLOW__DATABASE__SQL_ALCHEMY_CONN
  valueFrom: {secretKeyRef: {name: {{ .Release.Name }}-metadata, key: connection}}
- name: AIRFLOW__API__SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.apiSecretKeySecretName }}, key: api-secret-key}}
{{- range .Values.secret }}
- name: {{ .envName }}
  valueFrom: {secretKeyRef: {name: {{ .secretName }}, key: {{ .secretKey }}}}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "jwt" -}}
- name: AIRFLOW__API_AUTH__JWT_SECRET
  valueFrom: {secretKeyRef: {name: {{ .Values.jwtSecretName }}, key: jwt-secret}}
{{- end }}

{{- define "image" -}}
{{ .Values.images.airflow.repository }}:{{ .Values.images.airflow.tag }}
{{- end }}

{{- define "mounts" -}}
- {name: home, mountPath: /opt/airflow}
- {name: logs, mountPath: /opt/airflow/logs}
- {name: config, mountPath: /opt/airflow/airflow.cfg, subPath: airflow.cfg, readOnly: true}
{{- end }}

{{- define "dags-mount" -}}
- {name: dags, mountPath: /opt/airflow/dags, readOnly: true}
{{- end }}

{{/* What git-sync does in the official chart: the repository, in /opt/airflow/dags/repo. */}}
{{- define "dags-init" -}}
- name: bundle
  image: {{ include "image" . }}
  command: [python, -m, tarfile, -e, /bundle/bundle.tar.gz, /git/repo]
  securityContext: {{ include "container-security" . }}
  volumeMounts: [{name: bundle, mountPath: /bundle}, {name: dags, mountPath: /git}]
{{- end }}

{{- define "volumes" -}}
- {name: home, emptyDir: {}}
- {name: logs, hostPath: {path: {{ .Values.dev.logs }}, type: Directory}}
- {name: config, configMap: {name: {{ .Release.Name }}-config}}
{{- end }}

{{- define "dags-volumes" -}}
- {name: dags, emptyDir: {}}
- {name: bundle, configMap: {name: {{ .Release.Name }}-bundle}}
{{- end }}

{{- define "container-security" -}}
{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
{{- end }}

{{/* Without a request a busy machine would give it nothing; tests need most of the node's. */}}
{{- define "resources" -}}
{requests: {cpu: 50m, memory: 128Mi}}
{{- end }}

{{/* Without cluster DNS, `Default` takes the node's. */}}
{{- define "pod" -}}
dnsPolicy: Default
securityContext: {runAsUser: 50000, fsGroup: 0}
{{- end }}
