// Where telemetry lands and who is told: workspace, Application Insights, action group.

import { labels } from 'shared.bicep'

param location string
param tags labels
param workspaceName string
param applicationInsightsName string
param actionGroupName string
@description('Days that the workspace keeps telemetry.')
param retentionDays int
@description('Gigabytes a day after which the workspace takes no more; -1 for no cap.')
param dailyCapGigabytes int
param alertEmail string
@secure()
param alertWebhookUri string

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    features: { disableLocalAuth: true }
    retentionInDays: retentionDays
    sku: { name: 'PerGB2018' }
    workspaceCapping: { dailyQuotaGb: dailyCapGigabytes }
  }
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' = {
  name: applicationInsightsName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    DisableIpMasking: false
    DisableLocalAuth: true
    IngestionMode: 'LogAnalytics'
    WorkspaceResourceId: workspace.id
  }
}

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'probe'
    emailReceivers: empty(alertEmail)
      ? []
      : [{ name: 'mail', emailAddress: alertEmail, useCommonAlertSchema: true }]
    webhookReceivers: empty(alertWebhookUri)
      ? []
      : [{ name: 'webhook', serviceUri: alertWebhookUri, useCommonAlertSchema: true }]
  }
}

output workspaceId string = workspace.id
output applicationInsightsId string = applicationInsights.id
output actionGroupId string = actionGroup.id
