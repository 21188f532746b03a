{{- define "labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "careful" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
{{- define "claim" -}}
accessModes: [ReadWriteOnce]
{{- with .class }}
storageClassName: {{ . }}
{{- end }}
resources: {requests: {storage: {{ .size }}}}
{{- end }}
{{- define "probe" -}}
{path: /api/v1/health, port: http{{ if .Values.tls.secretName }}, scheme: HTTPS{{ end }}}
{{- end }}
{{- define "outside" -}}
type: {{ .type }}
{{- if eq .type "LoadBalancer" }}
loadBalancerSourceRanges: [{{ .clients | quote }}]
{{- end }}
{{- if ne .type "ClusterIP" }}
externalTrafficPolicy: Local
{{- end }}
{{- end }}
{{- define "database" -}}
{{- if .Values.database.secretName }}
- name: QC_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.secretName }}, key: {{ .Values.database.key }}}}
{{- end }}
{{- end }}
{{- define "ray-pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: scratch
    emptyDir: {}
  - name: shared
    emptyDir: {medium: Memory, sizeLimit: 2Gi}
{{- end }}
{{- define "ray-container" -}}
imagePullPolicy: {{ .Values.imagePullPolicy }}
securityContext: {{- include "careful" . | nindent 2 }}
env:
  - {name: RAY_USAGE_STATS_ENABLED, value: "0"}
  - {name: HOME, value: /tmp}
volumeMounts:
  - {name: scratch, mountPath: /tmp}
  - {name: shared, mountPath: /dev/shm}
{{- end }}
