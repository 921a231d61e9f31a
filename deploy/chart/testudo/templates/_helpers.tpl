{{/* The chart's name, as a label. */}}
{{- define "testudo.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of testudo's objects. Room is left for what is added to it. */}}
{{- define "testudo.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 42 | trimSuffix "-" }}
{{- else if contains (include "testudo.name" .) .Release.Name }}
{{- .Release.Name | trunc 42 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "testudo.name" .) | trunc 42 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The name of its kube-scheduler's objects. */}}
{{- define "testudo.scheduler.fullname" -}}
{{- printf "%s-scheduler" (include "testudo.fullname" .) }}
{{- end }}

{{- define "testudo.serviceAccountName" -}}
{{- default (ternary (include "testudo.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "testudo.scheduler.serviceAccountName" -}}
{{- default (ternary (include "testudo.scheduler.fullname" .) "default" .Values.scheduler.serviceAccount.create) .Values.scheduler.serviceAccount.name }}
{{- end }}

{{/* What every object carries. */}}
{{- define "testudo.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "testudo.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: testudo
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* By what pods are selected: (root, component). */}}
{{- define "testudo.selectorLabels" -}}
app.kubernetes.io/name: {{ include "testudo.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "testudo.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The version of the API server without what a vendor adds: v1.35.2-eks-1234567 and v1.35.2+k3s1 are v1.35.2. A
     kube-scheduler may be older than the API server, never newer. */}}
{{- define "testudo.scheduler.image" -}}
{{- $version := regexFind "^v[0-9]+\\.[0-9]+\\.[0-9]+" .Capabilities.KubeVersion.Version }}
{{- printf "%s:%s" .Values.scheduler.image.repository (default $version .Values.scheduler.image.tag) }}
{{- end }}

{{- define "testudo.tls.server" -}}
{{- default (printf "%s-tls" (include "testudo.fullname" .)) .Values.tls.secrets.server }}
{{- end }}

{{- define "testudo.tls.client" -}}
{{- default (printf "%s-tls" (include "testudo.scheduler.fullname" .)) .Values.tls.secrets.client }}
{{- end }}

{{/* testudo's host name, as its certificate has it. */}}
{{- define "testudo.host" -}}
{{- printf "%s.%s.svc" (include "testudo.fullname" .) .Release.Namespace }}
{{- end }}

{{/* The name by which the API server calls testudo's webhook, as its certificate has it. */}}
{{- define "testudo.webhook.host" -}}
{{- printf "%s-webhook.%s.svc" (include "testudo.fullname" .) .Release.Namespace }}
{{- end }}

{{/* What the pods of testudo and of its kube-scheduler have in common: (root, component). */}}
{{- define "testudo.podSpec" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- if eq .root.Values.schedulerName .root.Values.scheduler.name }}
{{- fail (printf "schedulerName: %s is testudo's own scheduler, and testudo would wait for itself; take the cluster's default-scheduler." .root.Values.schedulerName) }}
{{- end }}
priorityClassName: {{ .root.Values.priorityClassName }}
schedulerName: {{ .root.Values.schedulerName }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $selected := include "testudo.selectorLabels" . }}
{{- with .root.Values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    labelSelector:
      matchLabels:
        {{- $selected | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "testudo.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* testudo's configuration: what the chart knows, and the values over it. */}}
{{- define "testudo.config" -}}
{{- $tls := dict "certFile" "/etc/testudo/tls/tls.crt" "keyFile" "/etc/testudo/tls/tls.key" "clientCAFile" "/etc/testudo/tls/ca.crt" }}
{{- $known := dict
      "apiVersion" "config.testudo.dev/v1alpha1"
      "kind" "TestudoConfiguration"
      "extender" (dict "bindAddress" "0.0.0.0:8888" "tls" $tls)
      "metrics" (dict "bindAddress" "0.0.0.0:8889")
      "policyFile" "/etc/testudo/policy/policy.yaml"
      "gangs" (dict "schedulerNames" (list .Values.scheduler.name))
      "leaderElection" (dict
        "leaderElect" (gt (int .Values.replicas) 1)
        "resourceNamespace" .Release.Namespace
        "resourceName" (include "testudo.fullname" .)) }}
{{- if eq (include "testudo.gangs.by" .) "webhook" }}
{{- $_ := set $known "webhook" (dict "bindAddress" "0.0.0.0:9443") }}
{{- end }}
{{- if .Values.catalogue }}
{{- $_ := set $known "catalogueFile" "/etc/testudo/config/catalogue.yaml" }}
{{- end }}
{{- $config := mergeOverwrite $known (deepCopy .Values.config) }}
{{- if and .Values.policies.fence.enabled (not (dig "claims" "fenceTaint" "" $config)) }}
{{- $config = mergeOverwrite $config (dict "claims" (dict "fenceTaint" .Values.policies.fence.taint)) }}
{{- end }}
{{- if .Values.page.expose }}
{{- $_ := mergeOverwrite $config (dict "web" (dict
      "enabled" true
      "bindAddress" "0.0.0.0:8890"
      "authentication" "token"
      "tls" (dict "certFile" "/etc/testudo/tls/tls.crt" "keyFile" "/etc/testudo/tls/tls.key"))) }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* Does the page ask for tokens? Empty for no. */}}
{{- define "testudo.page.asksForTokens" -}}
{{- if eq "token" (dig "web" "authentication" "none" (include "testudo.config" . | fromYaml)) }}yes{{ end }}
{{- end }}

{{/* Makes an object part of what runs before the chart is taken away, and once more after that: until then a leader with a plan
     protects nodes anew. In the order of this weight. */}}
{{- define "testudo.uninstall.hook" -}}
helm.sh/hook: pre-delete,post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* The namespaces in which policies are in force. */}}
{{- define "testudo.policies.matchResources" -}}
matchResources:
  namespaceSelector:
    {{- toYaml .Values.policies.namespaceSelector | nindent 4 }}
{{- end }}

{{/* Which requests policies for pods look at. */}}
{{- define "testudo.policies.newPods" -}}
failurePolicy: Fail
matchConstraints:
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE]
      resources: [pods]
{{- end }}

{{/* Variables of policies for pods that ask for accelerators. */}}
{{- define "testudo.policies.accelerators" -}}
- name: containers
  expression: object.spec.containers + object.spec.?initContainers.orValue([])
- name: asksForAccelerators
  expression: >-
    variables.containers.exists(c, c.?resources.?limits.orValue({}).exists(name,
    name == 'nvidia.com/gpu' || name.startsWith('nvidia.com/gpu.') || name.startsWith('nvidia.com/mig-') ||
    name.startsWith('aws.amazon.com/neuron')))
{{- end }}

{{/* Variables of policies for pods that ask for devices in any way. */}}
{{- define "testudo.policies.devices" -}}
{{ include "testudo.policies.accelerators" . }}
- name: asksForDevices
  expression: variables.asksForAccelerators || size(object.spec.?resourceClaims.orValue([])) > 0
- name: isOfDaemonSet
  expression: object.metadata.?ownerReferences.orValue([]).exists(owner, owner.kind == 'DaemonSet')
- name: scheduler
  expression: object.spec.?schedulerName.orValue('default-scheduler')
{{- end }}

{{/* Stops with a reason where the cluster cannot do what a policy needs. */}}
{{- define "testudo.policies.needMutating" -}}
{{- if not (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") }}
{{- fail "policies.fence, and policies.gangs with by: policy, need MutatingAdmissionPolicy in admissionregistration.k8s.io/v1, which Kubernetes serves from 1.36 on. Leave the fence off and write the toleration on pods; gangs work with by: webhook." }}
{{- end }}
{{- end }}

{{/* What gives members of gangs testudo's scheduler and gate: policy, webhook, or nothing. */}}
{{- define "testudo.gangs.by" -}}
{{- with .Values.policies.gangs }}
{{- if not .enabled }}
{{- else if not $.Values.gates.enabled }}
{{- fail "policies.gangs closes gates, and with gates.enabled: false nobody would open them." }}
{{- else if ne .by "auto" }}
{{- .by }}
{{- else if $.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" }}
{{- "policy" }}
{{- else }}
{{- "webhook" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Which new pods are given them. */}}
{{- define "testudo.gangs.matchConditions" -}}
matchConditions:
  - name: is-member
    expression: >-
      'testudo.dev/pod-group' in object.metadata.?annotations.orValue({}) ||
      'testudo.dev/pod-group' in object.metadata.?labels.orValue({}) ||
      'leaderworkerset.sigs.k8s.io/group-index' in object.metadata.?labels.orValue({})
  - name: is-ours-or-nobodys
    expression: >-
      object.spec.?schedulerName.orValue('default-scheduler') in ['default-scheduler', '{{ .Values.scheduler.name }}']
  # What was given a node by hand needs no scheduler, and may not have a gate.
  - name: has-no-node
    expression: object.spec.?nodeName.orValue('') == ''
{{- end }}

{{/* The webhook's configuration, with the authority by which the API server knows testudo: (root, caBundle); none where another
     writes it in. */}}
{{- define "testudo.gangs.webhook" -}}
{{- $root := .root }}
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: testudo-gangs
  labels:
    {{- include "testudo.labels" $root | nindent 4 }}
  {{- if not .caBundle }}
  annotations:
    cert-manager.io/inject-ca-from: {{ $root.Release.Namespace }}/{{ include "testudo.fullname" $root }}
  {{- end }}
webhooks:
  - name: gangs.testudo.dev
    clientConfig:
      service:
        namespace: {{ $root.Release.Namespace }}
        name: {{ include "testudo.fullname" $root }}-webhook
        path: /mutate
        port: 443
      {{- with .caBundle }}
      caBundle: {{ . }}
      {{- end }}
    admissionReviewVersions: [v1]
    sideEffects: None
    # While no testudo answers pods are made as they were written, and nobody is kept from making them. A member that names
    # testudo's scheduler then waits without the gate, which only costs kube-scheduler more; one that names none is not placed
    # as a gang: the policy oneScheduler refuses it where it asks for devices.
    failurePolicy: Ignore
    timeoutSeconds: {{ $root.Values.policies.gangs.webhook.timeoutSeconds }}
    reinvocationPolicy: IfNeeded
    namespaceSelector:
      {{- toYaml $root.Values.policies.namespaceSelector | nindent 6 }}
    rules:
      - apiGroups: [""]
        apiVersions: [v1]
        operations: [CREATE]
        resources: [pods]
        scope: Namespaced
    {{- include "testudo.gangs.matchConditions" $root | nindent 4 }}
{{- end }}
