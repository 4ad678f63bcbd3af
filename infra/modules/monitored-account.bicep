// A storage account to watch: geo-redundant with a readable secondary, no keys, nothing public.

import { labels } from 'shared.bicep'

param name string
param location string
param tags labels
param geoPriorityReplication bool
@description('Closed to public networks: reachable through private endpoints alone.')
param closed bool
param locked bool
param workspaceId string
@description('Send the blob service\'s request logs to the workspace. Its metrics are free where they are, in Azure Monitor.')
param requestLogs bool

resource account 'Microsoft.Storage/storageAccounts@2026-04-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_RAGZRS' }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    // Sent only when asked for: not every region and account takes it, and it is billed apart.
    ...(geoPriorityReplication ? { geoPriorityReplicationStatus: { isBlobEnabled: true } } : {})
    minimumTlsVersion: 'TLS1_2'
    networkAcls: {
      bypass: 'None'
      defaultAction: closed ? 'Deny' : 'Allow'
    }
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    supportsHttpsTrafficOnly: true
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      containerDeleteRetentionPolicy: { enabled: true, days: 7 }
      deleteRetentionPolicy: { enabled: true, days: 7 }
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (requestLogs) {
  name: 'probe'
  scope: account::blobs
  properties: {
    workspaceId: workspaceId
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
  }
}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (locked) {
  name: 'watched'
  scope: account
  properties: {
    level: 'CanNotDelete'
    notes: 'Watched by the storage probe; remove this lock before the account.'
  }
}
