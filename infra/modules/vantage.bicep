// One vantage: a Flex Consumption plan and the function app on it, wired by identity alone.

import { connection, labels } from 'shared.bicep'

param vantage string
param location string
param tags labels
@description('The tag by which azd finds the app that it deploys; only one app may bear it.')
param serviceName string
param planName string
param siteName string
param identityName string
param hostAccountName string
param applicationInsightsName string
param subnetId string
param instanceMemoryMegabytes int
param maximumInstances int

param connections connection[]
param containerName string
param stateContainer string
param shardQueue string
param schedule string
param rpoSeconds int
param traces string
@description('Where the runbook is, for the links of the status page; empty for no links.')
param runbookUrl string
@description('App registration that people sign in with to see the status page; empty: a function key in a header opens it.')
param signInClientId string
@description('Further settings of the probe; they go before the ones made here.')
param furtherSettings labels

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource host 'Microsoft.Storage/storageAccounts@2026-04-01' existing = {
  name: hostAccountName
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

// One switch, in one place: the app builds its own OpenTelemetry providers, so the worker hands over the invocation's
// trace context and configures nothing itself. The exporter's own phone-home stays off.
var telemetry = [
  { name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', value: 'ClientId=${identity.properties.clientId};Authorization=AAD' }
  { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: applicationInsights.properties.ConnectionString }
  { name: 'APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED', value: 'true' }
  { name: 'APPLICATIONINSIGHTS_SDKSTATS_DISABLED', value: 'true' }
  { name: 'APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL', value: 'true' }
  { name: 'PYTHON_ENABLE_OPENTELEMETRY', value: 'true' }
]

var hostStorage = [
  { name: 'AzureWebJobsStorage__blobServiceUri', value: host.properties.primaryEndpoints.blob }
  { name: 'AzureWebJobsStorage__clientId', value: identity.properties.clientId }
  { name: 'AzureWebJobsStorage__credential', value: 'managedidentity' }
  { name: 'AzureWebJobsStorage__queueServiceUri', value: host.properties.primaryEndpoints.queue }
  { name: 'AzureWebJobsStorage__tableServiceUri', value: host.properties.primaryEndpoints.table }
]

// Each vantage writes a canary of its own: two writers of one blob would roll each other back.
var probe = union(
  {
    PROBE_BLOB: '${vantage}/HelloWorld.png'
    PROBE_CONTAINER: containerName
    PROBE_QUEUE: shardQueue
    PROBE_RPO: string(rpoSeconds)
    PROBE_SCHEDULE: schedule
    PROBE_STATE_CONTAINER: stateContainer
    PROBE_TARGETS: string(map(
      connections,
      c => union({ name: c.name, connection: c.prefix }, c.?readOnly == null ? {} : union(c.?readOnly!, { write: false }))
    ))
    PROBE_TRACES: traces
    PROBE_VANTAGE: vantage
  },
  empty(runbookUrl) ? {} : { PROBE_RUNBOOK_URL: runbookUrl },
  furtherSettings
)

// In place of a client secret: the identity signs for the app registration, which trusts it.
// Source: https://learn.microsoft.com/azure/app-service/configure-authentication-provider-aad#use-a-managed-identity-instead-of-a-secret-preview
var assertion = 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'
var signIn = empty(signInClientId) ? [] : [{ name: assertion, value: identity.properties.clientId }]

var targets = flatten(map(connections, c => [
  { name: '${c.prefix}__blobServiceUri', value: c.primary }
  { name: '${c.prefix}__clientId', value: identity.properties.clientId }
  { name: '${c.prefix}__credential', value: 'managedidentity' }
  { name: '${c.prefix}__secondaryBlobServiceUri', value: c.secondary }
]))

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource site 'Microsoft.Web/sites@2025-03-01' = {
  name: siteName
  location: location
  tags: empty(serviceName) ? tags : union(tags, { 'azd-service-name': serviceName })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    clientAffinityEnabled: false
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${host.properties.primaryEndpoints.blob}packages'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMegabytes
        maximumInstanceCount: maximumInstances
      }
    }
    // The plan refuses whatever else App Service knows here, and with it the whole deployment; it has no FTP to turn off.
    siteConfig: {
      http20Enabled: true
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      appSettings: concat(hostStorage, map(items(probe), s => { name: s.key, value: s.value }), signIn, targets, telemetry)
    }
  }

  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

// Who is not signed in is sent to do so; monitors go on asking for the health. Nothing else of the app answers HTTP.
resource signInConfiguration 'Microsoft.Web/sites/config@2025-03-01' = if (!empty(signInClientId)) {
  parent: site
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true }
    globalValidation: {
      requireAuthentication: true
      unauthenticatedClientAction: 'RedirectToLoginPage'
      redirectToProvider: 'azureactivedirectory'
      excludedPaths: ['/api/health']
    }
    httpSettings: { requireHttps: true }
    identityProviders: {
      azureActiveDirectory: {
        enabled: true
        registration: {
          clientId: signInClientId
          clientSecretSettingName: assertion
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: { allowedAudiences: [signInClientId, 'api://${signInClientId}'] }
      }
    }
    login: { tokenStore: { enabled: false } }
  }
}

output hostName string = site.properties.defaultHostName
