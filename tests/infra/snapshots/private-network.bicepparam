// Two vantages that reach storage through private endpoints alone: to an account made here, and to two of others.
using '../../../infra/main.bicep'

param environmentName = 'closed'
param location = 'francecentral'
param probeLocations = ['germanywestcentral', 'uksouth']
param privateNetwork = true
param monitoredAccounts = [
  { name: 'store' }
  {
    name: 'theirs'
    existingAccountId: '/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/orders/providers/Microsoft.Storage/storageAccounts/stordersprod'
  }
  {
    name: 'ours'
    existingAccountId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/archive/providers/Microsoft.Storage/storageAccounts/starchiveprod'
    approveEndpoints: true
  }
]

param deployedAt = '2026-01-01T00:00:00Z'
