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

// Only where nothing is made: the deployment may look for what exists before it makes what is missing.
// https://github.com/Azure/bicep/issues/16664
resource found 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-04-01' existing = if (readOnly) {
  parent: account::blobs
  name: containerName
}

var probes = map(vantages, vantage => {
  who: vantage
  role: readOnly ? roles.blobDataReader : roles.blobDataContributor
  why: readOnly
    ? 'Read the blob that is probed, in this container only.'
    : 'Write and read the canary, in this container only.'
})
var people = map(readers, reader => {
  who: reader
  role: roles.blobDataReader
  why: 'Read the canary from a workstation.'
})
var grants = concat(probes, people)
var containerId = '${account.id}/blobServices/default/containers/${containerName}'

resource useMade 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for grant in grants: if (!readOnly) {
    name: guid(containerId, grant.who.name, grant.role)
    scope: made
    properties: {
      description: grant.why
      principalId: grant.who.id
      principalType: grant.who.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    }
  }
]

resource useFound 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for grant in grants: if (readOnly) {
    name: guid(containerId, grant.who.name, grant.role)
    scope: found
    properties: {
      description: grant.why
      principalId: grant.who.id
      principalType: grant.who.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    }
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

@description('As the account itself tells them, so that they hold in any cloud.')
output primaryEndpoint string = account.properties.primaryEndpoints.blob
@description('Empty where the account has lost its readable secondary: the probe then derives the name and tells it absent.')
output secondaryEndpoint string = account.properties.?secondaryEndpoints.?blob ?? ''
@description('Where the account is, both of its regions where it has two.')
output regions string = '${account.properties.primaryLocation} ${account.properties.?secondaryLocation ?? ''}'
