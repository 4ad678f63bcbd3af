// What a watched account gets, made here or existing: the canary's container, and the grants of the probe.

import { principal, roles } from 'shared.bicep'

param accountName string
param containerName string
@description('The vantages: each writes its canary and asks for the replication status.')
param writers principal[]
@description('People who asked to read the canary; nobody by default.')
param readers principal[]

resource account 'Microsoft.Storage/storageAccounts@2026-04-01' existing = {
  name: accountName

  resource blobs 'blobServices' existing = {
    name: 'default'
  }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-04-01' = {
  parent: account::blobs
  name: containerName
  properties: { publicAccess: 'None' }
}

resource writeCanary 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for writer in writers: {
    name: guid(container.id, writer.name, roles.blobDataContributor)
    scope: container
    properties: {
      description: 'Write and read the canary, in this container only.'
      principalId: writer.id
      principalType: writer.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    }
  }
]

// The service's stats ask for blobServices/read on the account: no data role holds it, and a role on the container
// does not reach that far. Reader holds it and gives neither data nor keys.
resource readStats 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for writer in writers: {
    name: guid(account.id, writer.name, roles.reader)
    scope: account
    properties: {
      description: 'Ask the secondary for its last sync time.'
      principalId: writer.id
      principalType: writer.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.reader)
    }
  }
]

resource readCanary 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for reader in readers: {
    name: guid(container.id, reader.name, roles.blobDataReader)
    scope: container
    properties: {
      description: 'Read the canary from a workstation.'
      principalId: reader.id
      principalType: reader.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataReader)
    }
  }
]

@description('As the account itself tells them, so that they hold in any cloud.')
output primaryEndpoint string = account.properties.primaryEndpoints.blob
@description('Empty where the account has lost its readable secondary: the probe then derives the name and tells it absent.')
output secondaryEndpoint string = account.properties.?secondaryEndpoints.?blob ?? ''
