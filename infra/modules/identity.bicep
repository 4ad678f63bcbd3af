// Who a vantage is, where its host keeps its things, and what it may do there: all of it before the site exists,
// because a grant takes minutes to spread.

import { labels, principal, roles } from 'shared.bicep'

param vantage string
param location string
param tags labels
param identityName string
param hostAccountName string
param applicationInsightsName string
param stateContainer string
param shardQueue string
@description('Closed to public networks: reachable through private endpoints alone.')
param closed bool
param readers principal[]

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: identityName
  location: location
  tags: tags
}

// In the vantage's own region, never geo-redundant: the watcher must not share the fate of the watched.
resource host 'Microsoft.Storage/storageAccounts@2026-04-01' = {
  name: hostAccountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    networkAcls: {
      bypass: 'None'
      defaultAction: closed ? 'Deny' : 'Allow'
    }
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    supportsHttpsTrafficOnly: true
  }

  // No soft delete: the state is rewritten at each tick, and every old copy would be kept and billed.
  resource blobs 'blobServices' = {
    name: 'default'

    resource packages 'containers' = {
      name: 'packages'
      properties: { publicAccess: 'None' }
    }

    resource state 'containers' = {
      name: stateContainer
      properties: { publicAccess: 'None' }
    }
  }

  resource queues 'queueServices' = {
    name: 'default'

    resource shards 'queues' = {
      name: shardQueue
    }

    resource poison 'queues' = {
      name: '${shardQueue}-poison'
    }
  }
}

var hostRoles = [
  { id: roles.blobDataOwner, description: 'The Functions host: its leases and keys, the package, and the probe\'s state.' }
  { id: roles.queueDataContributor, description: 'Put shards of targets on the queue and take them off.' }
  { id: roles.tableDataContributor, description: 'The Functions host: its own diagnostic events.' }
]

resource useHost 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in hostRoles: {
    name: guid(host.id, vantage, role.id)
    scope: host
    properties: {
      description: role.description
      principalId: identity.properties.principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
    }
  }
]

resource readState 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for reader in readers: {
    name: guid(host::blobs::state.id, reader.name, roles.blobDataReader)
    scope: host::blobs::state
    properties: {
      description: 'Read the probe\'s state from a workstation.'
      principalId: reader.id
      principalType: reader.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataReader)
    }
  }
]

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource publishTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(applicationInsights.id, vantage, roles.metricsPublisher)
  scope: applicationInsights
  properties: {
    description: 'Send telemetry; Application Insights takes no keys here.'
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.metricsPublisher)
  }
}

output principalId string = identity.properties.principalId
