// Everything that one deployment of the storage probe makes: the accounts that it watches (new or existing), a function
// app for each vantage, where their telemetry lands, and who is told.
//
// Rules kept here: no keys anywhere; nothing is granted wider than its use; every grant stands before the site that
// needs it; the watcher lives in other regions than the watched.

targetScope = 'subscription'

import { defaultVantage, flexRegion, gzrsRegion, labels, monitoredAccount, principal } from 'modules/shared.bicep'

@description('Name of the azd environment; it names the resource group and goes into the hash in every other name.')
@minLength(1)
@maxLength(32)
param environmentName string

@description('Region of the watched account: made there, or, with monitoredAccountId, where yours is. It is probed from elsewhere: see probeLocations.')
@metadata({ azd: { type: 'location' } })
param location gzrsRegion

@description('Regions to probe from, a function app each. Empty: one, near the location but neither it nor its pair.')
@maxLength(10)
param probeLocations flexRegion[] = []

@description('The accounts to watch. Empty: one, made here, or the one of monitoredAccountId.')
@maxLength(100)
param monitoredAccounts monitoredAccount[] = []

@description('Resource id of one existing account to watch, in any resource group or subscription of this tenant.')
param monitoredAccountId string = ''

@description('Geo priority replication for accounts that are made here and do not say otherwise; it is billed apart. Once on, false leaves it on.')
param geoPriorityReplication bool = false

@description('Put a CanNotDelete lock on the accounts that are made here; it must be removed before azd down.')
param lockAccounts bool = false

@description('Send the request logs of the accounts that are made here to the workspace; they are billed by volume.')
param storageRequestLogs bool = false

@description('The canary\'s container on every watched account; one that is there is used as it is.')
@minLength(3)
@maxLength(63)
param canaryContainer string = 'health-probe'

@description('Minutes between two ticks.')
param intervalMinutes 1 | 2 | 5 = 1

@description('The most data, in minutes of writes, that may be lost in a failover; the lag is alerted on beyond it.')
@minValue(1)
@maxValue(1440)
param rpoMinutes int = 15

@description('The share of reads, in percent, that must be served.')
param sloPercent '99' | '99.5' | '99.9' | '99.95' | '99.99' = '99.9'

@description('Which attempts leave a span: none, the failed ones, or all.')
param traces 'off' | 'failures' | 'all' = 'failures'

@description('Further settings of the probe by name, like { PROBE_READS: \'3\' }; the README lists them all. They go before the ones made here.')
param probeSettings labels = {}

@description('Memory of one instance, in megabytes.')
param instanceMemoryMegabytes 512 | 2048 | 4096 = 512

@description('The most instances that one vantage may scale to. 40 was the least that the plan took, and is what every region takes.')
@minValue(1)
@maxValue(1000)
param maximumInstances int = 40

@description('Days that the workspace keeps what it takes in; the App* tables, where the probe\'s telemetry is, keep 90 at least, at no charge.')
@minValue(30)
@maxValue(730)
param retentionDays int = 30

@description('Gigabytes a day after which the workspace takes no more, and the query alerts go blind; -1 for no cap, 0 for one and a further one for each twenty pairs of target and vantage.')
@minValue(-1)
@maxValue(100)
param dailyCapGigabytes int = 0

@description('Minutes between two looks at each app\'s /api/health from outside of it and of the workspace; 0 for none.')
param heartbeatMinutes 0 | 5 | 10 | 15 = 10

@description('A query rule for each severity instead of one for all, for whoever routes by Azure\'s own field; it costs three times as much.')
param alertRulePerSeverity bool = false

@description('When this deployment begins; nobody is woken within an hour of it by what settles by itself. Leave it out.')
param deployedAt string = utcNow('yyyy-MM-ddTHH:mm:ssZ')

@description('Mail address for alerts; empty for none.')
param alertEmail string = ''

@description('Address that alerts are posted to; it often holds a secret.')
@secure()
param alertWebhookUri string = ''

@description('The repository\'s address, for the runbook links in alerts, like https://github.com/OWNER/NAME.')
param repositoryUrl string = ''

@description('Client id of the app registration that people sign in with to see the status page; empty: only a function key in a header opens it.')
param signInClientId string = ''

@description('Private endpoints for all storage, reached from a network of each vantage; accounts made here are closed to the public.')
param privateNetwork bool = false

@description('Object id of someone who may read the canaries and the probe\'s state; empty for nobody.')
param readerPrincipalId string = ''

@description('What readerPrincipalId is.')
param readerPrincipalType 'Group' | 'ServicePrincipal' | 'User' = 'User'

var tags = { 'azd-env-name': environmentName }
var token = uniqueString(subscription().id, environmentName, location)
var stateContainer = 'probe-state'
var shardQueue = 'probe-shards'
var rpoSeconds = rpoMinutes * 60
var runbook = empty(repositoryUrl) ? 'infra/runbook.md' : '${repositoryUrl}/blob/main/infra/runbook.md'

var vantages = empty(probeLocations) ? [defaultVantage[wanted[0].?location ?? location]] : probeLocations
var home = vantages[0]
var readers principal[] = empty(readerPrincipalId)
  ? []
  : [{ name: readerPrincipalId, id: readerPrincipalId, type: readerPrincipalType }]

var wanted monitoredAccount[] = !empty(monitoredAccounts)
  ? monitoredAccounts
  : empty(monitoredAccountId)
      ? [{ name: 'store' }]
      : [{ name: last(split(monitoredAccountId, '/')), existingAccountId: monitoredAccountId }]

// Names follow from the targets' names, not from their places in the list: taking one out moves no other.
var targets = map(wanted, account => {
  name: account.name
  prefix: 'ProbedStorage_${replace(account.name, '-', '_')}'
  made: empty(account.?existingAccountId)
  readOnly: account.?readOnly
  // An endpoint to an account of somebody else needs its owner's word, unless the deployer has it already.
  manual: !empty(account.?existingAccountId) && !(account.?approveEndpoints ?? false)
  location: account.?location ?? location
  geoPriorityReplication: account.?geoPriorityReplication ?? geoPriorityReplication
  id: account.?existingAccountId ?? resourceId(
    subscription().subscriptionId,
    groupName,
    'Microsoft.Storage/storageAccounts',
    'stprobed${uniqueString(token, account.name)}'
  )
})

var pairs = flatten(map(targets, target => map(vantages, vantage => '"${target.name}", "${vantage}"')))
var expectedPairs = '[${join(pairs, ', ')}];'
var groupName = 'rg-${environmentName}'
var identityNames = [for vantage in vantages: 'id-probe-${vantage}-${token}']
var hostNames = [for vantage in vantages: 'sthost${uniqueString(token, vantage)}']
var workspaceName = 'log-probe-${token}'
var applicationInsightsName = 'appi-probe-${token}'

// In the first vantage's region, like everything that watches.
resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: groupName
  location: home
  tags: tags
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    location: home
    tags: tags
    workspaceName: workspaceName
    applicationInsightsName: applicationInsightsName
    actionGroupName: 'ag-probe-${token}'
    retentionDays: retentionDays
    // A pair sends about 20 MB a day, and a good deal more in an outage.
    dailyCapGigabytes: dailyCapGigabytes == 0 ? 1 + length(targets) * length(vantages) / 20 : dailyCapGigabytes
    alertEmail: alertEmail
    alertWebhookUri: alertWebhookUri
  }
}

module accounts 'modules/monitored-account.bicep' = [
  for target in targets: if (target.made) {
    name: 'account-${target.name}'
    scope: group
    params: {
      name: last(split(target.id, '/'))
      location: target.location
      tags: tags
      geoPriorityReplication: target.geoPriorityReplication
      closed: privateNetwork
      locked: lockAccounts
      workspaceId: monitoring.outputs.workspaceId
      requestLogs: storageRequestLogs
    }
  }
]

module identities 'modules/identity.bicep' = [
  for (vantage, i) in vantages: {
    name: 'identity-${vantage}'
    scope: group
    params: {
      vantage: vantage
      location: vantage
      tags: tags
      identityName: identityNames[i]
      hostAccountName: hostNames[i]
      applicationInsightsName: applicationInsightsName
      stateContainer: stateContainer
      shardQueue: shardQueue
      closed: privateNetwork
      readers: readers
    }
    dependsOn: [monitoring]
  }
]

module canaries 'modules/canary.bicep' = [
  for target in targets: {
    name: 'canary-${target.name}'
    scope: resourceGroup(split(target.id, '/')[2], split(target.id, '/')[4])
    params: {
      accountName: last(split(target.id, '/'))
      containerName: target.?readOnly.?container ?? canaryContainer
      readOnly: target.?readOnly != null
      vantages: [
        for (vantage, i) in vantages: {
          name: '${vantage}-${token}'
          id: identities[i].outputs.principalId
          type: 'ServicePrincipal'
        }
      ]
      readers: readers
    }
    dependsOn: [accounts]
  }
]

// A group for each vantage's network: zones of the same names cannot stand twice in one group.
resource networkGroups 'Microsoft.Resources/resourceGroups@2025-04-01' = [
  for vantage in vantages: if (privateNetwork) {
    name: '${groupName}-network-${vantage}'
    location: vantage
    tags: tags
  }
]

module networks 'modules/network.bicep' = [
  for (vantage, i) in vantages: if (privateNetwork) {
    name: 'network-${vantage}'
    scope: networkGroups[i]
    params: {
      vantage: vantage
      location: vantage
      tags: tags
    }
  }
]

module hostEndpoints 'modules/private-endpoints.bicep' = [
  for (vantage, i) in vantages: if (privateNetwork) {
    name: 'host-endpoints-${vantage}'
    scope: networkGroups[i]
    params: {
      namePrefix: 'pe-host'
      location: vantage
      tags: tags
      accountId: resourceId(
        subscription().subscriptionId,
        groupName,
        'Microsoft.Storage/storageAccounts',
        hostNames[i]
      )
      manual: false
      subnetId: networks[i]!.outputs.endpointSubnetId
      ways: [
        { groupId: 'blob', zoneId: networks[i]!.outputs.zoneIds.blob }
        { groupId: 'queue', zoneId: networks[i]!.outputs.zoneIds.queue }
        { groupId: 'table', zoneId: networks[i]!.outputs.zoneIds.table }
      ]
    }
    dependsOn: [identities]
  }
]

module targetEndpoints 'modules/private-endpoints.bicep' = [
  for pair in range(0, privateNetwork ? length(vantages) * length(targets) : 0): {
    name: 'endpoints-${vantages[pair / length(targets)]}-${targets[pair % length(targets)].name}'
    scope: networkGroups[pair / length(targets)]
    params: {
      namePrefix: 'pe-${targets[pair % length(targets)].name}'
      location: vantages[pair / length(targets)]
      tags: tags
      accountId: targets[pair % length(targets)].id
      manual: targets[pair % length(targets)].manual
      subnetId: networks[pair / length(targets)]!.outputs.endpointSubnetId
      ways: [
        { groupId: 'blob', zoneId: networks[pair / length(targets)]!.outputs.zoneIds.blob }
        { groupId: 'blob_secondary', zoneId: networks[pair / length(targets)]!.outputs.zoneIds.blob }
      ]
    }
    dependsOn: [accounts]
  }
]

module apps 'modules/vantage.bicep' = [
  for (vantage, i) in vantages: {
    name: 'vantage-${vantage}'
    scope: group
    params: {
      vantage: vantage
      location: vantage
      tags: tags
      serviceName: i == 0 ? 'probe' : ''
      planName: 'plan-probe-${vantage}-${token}'
      siteName: 'func-probe-${vantage}-${token}'
      identityName: identityNames[i]
      hostAccountName: hostNames[i]
      applicationInsightsName: applicationInsightsName
      subnetId: privateNetwork ? networks[i]!.outputs.appSubnetId : ''
      instanceMemoryMegabytes: instanceMemoryMegabytes
      maximumInstances: maximumInstances
      connections: [
        for (target, j) in targets: {
          name: target.name
          prefix: target.prefix
          primary: canaries[j].outputs.primaryEndpoint
          secondary: canaries[j].outputs.secondaryEndpoint
          readOnly: target.?readOnly
        }
      ]
      containerName: canaryContainer
      stateContainer: stateContainer
      shardQueue: shardQueue
      schedule: intervalMinutes == 1 ? '0 * * * * *' : '0 */${intervalMinutes} * * * *'
      rpoSeconds: rpoSeconds
      traces: traces
      runbookUrl: empty(repositoryUrl) ? '' : runbook
      signInClientId: signInClientId
      furtherSettings: probeSettings
    }
    dependsOn: [hostEndpoints, targetEndpoints]
  }
]

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: home
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    applicationInsightsId: monitoring.outputs.applicationInsightsId
    actionGroupId: monitoring.outputs.actionGroupId
    accountIds: map(
      filter(targets, target => toLower(split(target.id, '/')[2]) == toLower(subscription().subscriptionId)),
      target => target.id
    )
    targets: map(targets, target => target.name)
    vantageCount: length(vantages)
    heartbeats: [
      for (vantage, i) in (heartbeatMinutes == 0 ? [] : vantages): {
        vantage: vantage
        name: 'heartbeat-${vantage}-${token}'
        url: 'https://${apps[i].outputs.hostName}/api/health'
      }
    ]
    heartbeatMinutes: heartbeatMinutes
    expectedPairs: expectedPairs
    deployedAt: deployedAt
    rulePerSeverity: alertRulePerSeverity
    intervalMinutes: intervalMinutes
    sloPercent: sloPercent
    rpoSeconds: rpoSeconds
    runbook: runbook
  }
  dependsOn: [accounts]
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    location: home
    tags: tags
    // Not the module's output: the workbook's name follows from it, and what-if must know that beforehand.
    workspaceId: resourceId(
      subscription().subscriptionId,
      groupName,
      'Microsoft.OperationalInsights/workspaces',
      workspaceName
    )
    rpoSeconds: rpoSeconds
    expectedPairs: expectedPairs
  }
  dependsOn: [monitoring]
}

output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = groupName
@description('The app that azd deploys.')
output SERVICE_PROBE_NAME string = 'func-probe-${home}-${token}'
@description('Every app, in the order of the vantages; the first is the one that azd deploys.')
output PROBE_FUNCTION_APPS string[] = [for vantage in vantages: 'func-probe-${vantage}-${token}']
@description('Where each app is, in the same order; and minutes between two of its ticks.')
output PROBE_VANTAGES string[] = vantages
output PROBE_INTERVAL_MINUTES int = intervalMinutes
@description('The name of each watched account, and the regions that it is in.')
output PROBE_ACCOUNT_REGIONS string[] = [for (target, i) in targets: '${target.name} ${canaries[i].outputs.regions}']
@description('Anonymous heartbeat of each app: 200 while its ticks are fresh.')
output PROBE_HEALTH_URLS string[] = [for (vantage, i) in vantages: 'https://${apps[i].outputs.hostName}/api/health']
output PROBE_HOST_ACCOUNTS string[] = hostNames
output PROBE_MONITORED_ACCOUNTS string[] = map(targets, target => target.id)
output PROBE_WORKBOOK_ID string = workbook.outputs.id
output APPLICATIONINSIGHTS_NAME string = applicationInsightsName
