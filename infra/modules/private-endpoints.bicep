// Private endpoints of one storage account in one vantage's network, each registered in that network's zones.

import { labels } from 'shared.bicep'

@export()
@description('A sub-resource of the account, and the zone that its name lives in.')
type way = {
  groupId: 'blob' | 'blob_secondary' | 'queue' | 'table'
  zoneId: string
}

param namePrefix string
param location string
param tags labels
param accountId string
@description('Ask the account\'s owner to approve, as a deployer without the right to approve must: the endpoints wait until then.')
param manual bool
param subnetId string
param ways way[]

resource endpoints 'Microsoft.Network/privateEndpoints@2025-09-01' = [
  for way in ways: {
    name: '${namePrefix}-${replace(way.groupId, '_', '-')}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: manual
        ? []
        : [{ name: way.groupId, properties: { groupIds: [way.groupId], privateLinkServiceId: accountId } }]
      manualPrivateLinkServiceConnections: manual
        ? [
            {
              name: way.groupId
              properties: {
                groupIds: [way.groupId]
                privateLinkServiceId: accountId
                requestMessage: 'A storage probe asks to read its canary and the replication status from here.'
              }
            }
          ]
        : []
    }
  }
]

resource registrations 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-09-01' = [
  for (way, i) in ways: {
    parent: endpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [{ name: way.groupId, properties: { privateDnsZoneId: ways[i].zoneId } }]
    }
  }
]
