// What a watched account gets, made here or existing: the canary's container, and the grants of the probe. Where only a
// blob of its owner's is read, nothing is made, and the grants are a reader's.

import { principal, roles } from 'shared.bicep'

param accountName string
param containerName string
@description('Read a blob that is there already; make and write nothing.')
param readOnly bool
@description('The vantages: each writes its canary, or only reads, and asks for the replication status.')
param vantages principal[]
@description('People who asked to read the canary; nobody by default.')
param readers principal[]

resource account 'Microsoft.Storage/storageAccounts@2026-04-01' existing = {
  name: accountName

  resource blobs 'blobServices' existing = {
    name: 'default'
  }
}

// A container that is there stays as it is, whoever made it: on somebody's account the name may be taken.
@onlyIfNotExists()
resource made 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-04-01' = if (!readOnly) {
  parent: account::blobs
  name: containerName
  properties: { publicAccess: 'None' }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-04-01' existing = {
  parent: account::blobs
  name: containerName
}

var role = readOnly
  ? { id: roles.blobDataReader, description: 'Read the blob that is probed, in this container only.' }
  : { id: roles.blobDataContributor, description: 'Write and read the canary, in this container only.' }

resource useCanary 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for vantage in vantages: {
    name: guid(container.id, vantage.name, role.id)
    scope: container
    properties: {
      description: role.description
      principalId: vantage.id
      principalType: vantage.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
    }
    dependsOn: [made]
  }
]

// The service's stats ask for blobServices/read on the account: no data role holds it, and a role on the container
// does not reach that far. Reader holds it and gives neither data nor keys.
resource readStats 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for vantage in vantages: {
    name: guid(account.id, vantage.name, roles.reader)
    scope: account
    properties: {
      description: 'Ask the secondary for its last sync time.'
      principalId: vantage.id
      principalType: vantage.type
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
    dependsOn: [made]
  }
]

@description('As the account itself tells them, so that they hold in any cloud.')
output primaryEndpoint string = account.properties.primaryEndpoints.blob
@description('Empty where the account has lost its readable secondary: the probe then derives the name and tells it absent.')
output secondaryEndpoint string = account.properties.?secondaryEndpoints.?blob ?? ''
@description('Where the account is, both of its regions where it has two.')
output regions string = '${account.properties.primaryLocation} ${account.properties.?secondaryLocation ?? ''}'
