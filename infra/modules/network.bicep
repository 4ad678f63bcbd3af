// A vantage's private way to storage: a network, and name zones that are its own, since two networks cannot share
// one zone when each has its own endpoint to the same account.

import { labels, zones } from 'shared.bicep'

param vantage string
param location string
param tags labels

var zoneNames = [
  'privatelink.blob.${environment().suffixes.storage}'
  'privatelink.queue.${environment().suffixes.storage}'
  'privatelink.table.${environment().suffixes.storage}'
]

resource guard 'Microsoft.Network/networkSecurityGroups@2025-09-01' = {
  name: 'nsg-probe-${vantage}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'deny-from-internet'
        properties: {
          access: 'Deny'
          description: 'Nothing here is called from outside; the front end of the function app is not in this network.'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
          direction: 'Inbound'
          priority: 4000
          protocol: '*'
          sourceAddressPrefix: 'Internet'
          sourcePortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-09-01' = {
  name: 'vnet-probe-${vantage}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.0.0.0/24'] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: '10.0.0.0/26'
          // Telemetry and tokens go to public addresses; without this a new subnet has no way there.
          defaultOutboundAccess: true
          delegations: [{ name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }]
          networkSecurityGroup: { id: guard.id }
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: '10.0.0.128/25'
          defaultOutboundAccess: false
          networkSecurityGroup: { id: guard.id }
        }
      }
    ]
  }
}

resource nameZones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in zoneNames: {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, i) in zoneNames: {
    parent: nameZones[i]
    name: 'vantage'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: network.id }
    }
  }
]

output appSubnetId string = '${network.id}/subnets/app'
output endpointSubnetId string = '${network.id}/subnets/endpoints'
output zoneIds zones = {
  blob: nameZones[0].id
  queue: nameZones[1].id
  table: nameZones[2].id
}
