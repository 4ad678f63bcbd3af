// Three vantages and three accounts, one of them existing; every choice differs from its default.
using '../../../infra/main.bicep'

param environmentName = 'fleet'
param location = 'northeurope'
param probeLocations = ['uksouth', 'swedencentral', 'ukwest']
param monitoredAccounts = [
  { name: 'orders', geoPriorityReplication: true }
  { name: 'media-eu', location: 'swedencentral' }
  {
    name: 'archive'
    existingAccountId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/archive/providers/Microsoft.Storage/storageAccounts/starchiveprod'
    readOnly: { container: 'reports', blob: '2026/first.pdf' }
  }
]
param canaryContainer = 'canaries'
param intervalMinutes = 5
param rpoMinutes = 30
param sloPercent = '99.95'
param traces = 'off'
param probeSettings = { PROBE_READS: '3', PROBE_SECONDARY_READS: '12' }
param instanceMemoryMegabytes = 2048
param maximumInstances = 100
param retentionDays = 90
param dailyCapGigabytes = 5
param lockAccounts = true
param storageRequestLogs = true
param signInClientId = '11111111-2222-3333-4444-555555555555'

param deployedAt = '2026-01-01T00:00:00Z'
param alertRulePerSeverity = true
param heartbeatMinutes = 15
