// An account that somebody else owns, in another subscription: only the container and the grants are made there.
using '../../../infra/main.bicep'

param environmentName = 'probe'
param location = 'eastus2'
param monitoredAccounts = [
  {
    name: 'stordersprod'
    existingAccountId: '/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/orders/providers/Microsoft.Storage/storageAccounts/stordersprod'
    location: 'germanywestcentral'
  }
]
param alertEmail = 'oncall@example.org'
param repositoryUrl = 'https://github.com/example/storage-probe'
param readerPrincipalId = '22222222-2222-2222-2222-222222222222'
param readerPrincipalType = 'Group'

param deployedAt = '2026-01-01T00:00:00Z'
