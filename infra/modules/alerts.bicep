// Who is woken by what. Each rule runs a query of infra/queries with its parameters (the query's first lines) set to
// this deployment's schedule, objectives and targets; each names its entry of the runbook.

import { labels } from 'shared.bicep'

param location string
param tags labels
param workspaceId string
param actionGroupId string
@description('Ids of the watched accounts that the platform\'s own metric alert can reach: those of this subscription.')
param accountIds string[]
@description('The list in probe-silent.kql: each pair of target and vantage that ought to report.')
param expectedPairs string
@description('Minutes between two ticks.')
param intervalMinutes int
@description('The share of reads, in percent, that must be served; text, since Bicep knows no fractions.')
param sloPercent string
param rpoSeconds int
param runbook string

// Windows follow the schedule, in the sizes that rules allow. Telemetry arrives minutes late, so that the newest part
// of a window is thin: the short ones hold at least five ticks.
var windows = {
  '1': { verdict: 'PT10M', routing: 'PT15M', silence: 'PT15M', recent: '15m' }
  '2': { verdict: 'PT15M', routing: 'PT30M', silence: 'PT30M', recent: '30m' }
  '5': { verdict: 'PT30M', routing: 'PT45M', silence: 'PT1H', recent: '45m' }
}[string(intervalMinutes)]

var minimumFailures = intervalMinutes == 1 ? 3 : 2
var minimumTicks = intervalMinutes == 1 ? 3 : 2

var readsFailing = replace(
  loadTextContent('../queries/reads-failing.kql'),
  'let minimum_failures = 3;',
  'let minimum_failures = ${minimumFailures};'
)
var endpointVerdict = replace(
  loadTextContent('../queries/endpoint-verdict.kql'),
  'let minimum_ticks = 3;',
  'let minimum_ticks = ${minimumTicks};'
)
var probeBlind = replace(
  loadTextContent('../queries/probe-blind.kql'),
  'let minimum_ticks = 3;',
  'let minimum_ticks = ${minimumTicks};'
)
var sloBurn = replace(
  replace(
    loadTextContent('../queries/slo-burn.kql'),
    'let slo_percent = 99.9;',
    'let slo_percent = ${sloPercent};'
  ),
  'let minimum_failures = 3;',
  'let minimum_failures = ${minimumFailures};'
)
var lagOverRpo = replace(
  loadTextContent('../queries/lag-over-rpo.kql'),
  'let rpo_seconds = 900;',
  'let rpo_seconds = ${rpoSeconds};'
)
var redundancy = replace(
  loadTextContent('../queries/redundancy.kql'),
  'let minimum_ticks = 3;',
  'let minimum_ticks = ${minimumTicks};'
)
var stateUnsaved = replace(
  loadTextContent('../queries/state-unsaved.kql'),
  'let minimum_errors = 5;',
  'let minimum_errors = ${2 * minimumTicks - 1};'
)
var probeSilent = replace(
  loadTextContent('../queries/probe-silent.kql'),
  '["store", "francecentral"];',
  expectedPairs
)

// severity: 0 critical, 1 error, 2 warning. measure: a column of the query, compared with the threshold.
var rules = [
  {
    name: 'reads-failing'
    severity: 0
    title: 'Client reads fail'
    summary: 'Reads are served by neither location, seen from every vantage.'
    query: readsFailing
    window: windows.verdict
    measure: 'FailingVantages'
    threshold: 0
    dimensions: ['Target']
  }
  {
    name: 'reads-failing-in-part'
    severity: 2
    title: 'Client reads fail from some vantages'
    summary: 'Reads are served by neither location from some vantages, but served from others.'
    query: replace(readsFailing, 'let everywhere = true;', 'let everywhere = false;')
    window: windows.verdict
    measure: 'FailingVantages'
    threshold: 0
    dimensions: ['Target']
  }
  {
    name: 'endpoint-down'
    severity: 1
    title: 'An endpoint is down'
    summary: 'The probe finds an endpoint down in most of its ticks.'
    query: endpointVerdict
    window: windows.verdict
    measure: 'Hits'
    threshold: 0
    dimensions: ['Target', 'Endpoint']
  }
  {
    name: 'rerouted'
    severity: 2
    title: 'Reads are rerouted to the secondary'
    summary: 'The breaker keeps most reads away from the primary.'
    query: loadTextContent('../queries/rerouted.kql')
    window: windows.routing
    measure: 'FromSecondary'
    threshold: 0
    dimensions: ['Target']
  }
  {
    name: 'flapping'
    severity: 2
    title: 'The breaker flaps'
    summary: 'The breaker opens from closed again and again within the hour.'
    query: loadTextContent('../queries/flapping.kql')
    window: 'PT1H'
    measure: 'Openings'
    threshold: 0
    dimensions: ['Target', 'Vantage']
  }
  {
    name: 'lag-over-rpo'
    severity: 1
    title: 'The secondary is behind the RPO'
    summary: 'A failover now may lose more than ${rpoSeconds} seconds of writes, by the recovery point or by what is seen.'
    query: lagOverRpo
    window: windows.verdict
    measure: 'Seconds'
    threshold: rpoSeconds
    dimensions: ['Target', 'Measure']
  }
  {
    name: 'geo-redundancy-lost'
    severity: 1
    title: 'There is no second copy to rely on'
    summary: 'Unprotected: the secondary is gone or cannot be read, or Azure says that replication does not run.'
    query: redundancy
    window: windows.verdict
    measure: 'Hits'
    threshold: 0
    dimensions: ['Target']
  }
  {
    name: 'writes-lost'
    severity: 0
    title: 'Writes are gone from the primary'
    summary: 'The account failed over and lost acknowledged writes, or the canary was deleted.'
    query: loadTextContent('../queries/writes-lost.kql')
    window: windows.silence
    measure: 'Times'
    threshold: 0
    dimensions: ['Target', 'Event']
  }
  {
    name: 'canary-bad'
    severity: 1
    title: 'The canary is corrupt or missing'
    summary: 'An endpoint answers, but not with what was written.'
    query: replace(
      replace(endpointVerdict, 'dynamic(["down"])', 'dynamic(["corrupt", "missing"])'),
      'let share = 0.5;',
      'let share = 0.0;'
    )
    window: windows.verdict
    measure: 'Hits'
    threshold: 0
    dimensions: ['Target', 'Endpoint']
  }
  {
    name: 'denied'
    severity: 2
    title: 'The probe is denied'
    summary: 'An endpoint answers 401 or 403: the probe\'s own grant is missing.'
    query: replace(endpointVerdict, 'dynamic(["down"])', 'dynamic(["denied"])')
    window: windows.verdict
    measure: 'Hits'
    threshold: 0
    dimensions: ['Target', 'Endpoint']
  }
  {
    name: 'probe-blind'
    severity: 2
    title: 'The probe cannot tell'
    summary: 'The verdict is inconclusive: the vantage itself seems to be cut off.'
    query: probeBlind
    window: windows.verdict
    measure: 'Blind'
    threshold: 0
    dimensions: ['Target', 'Vantage']
  }
  {
    name: 'state-unsaved'
    severity: 2
    title: 'The probe cannot keep its state'
    summary: 'Ticks run and cannot load or save: do not restart the app, its memory is all there is.'
    query: stateUnsaved
    window: windows.verdict
    measure: 'Errors'
    threshold: 0
    dimensions: ['Vantage', 'Operation']
  }
  {
    name: 'slo-burn-fast'
    severity: 1
    title: 'The error budget burns fast'
    summary: 'At this speed two days spend the budget of a month (objective ${sloPercent} %).'
    query: replace(sloBurn, 'ago(10m)', 'ago(${windows.recent})')
    window: 'PT1H'
    measure: 'Burn'
    threshold: 14
    dimensions: ['Target']
  }
  {
    name: 'slo-burn-slow'
    severity: 2
    title: 'The error budget burns slowly'
    summary: 'At this speed twenty days spend the budget of a month (objective ${sloPercent} %).'
    query: replace(
      replace(replace(sloBurn, 'ago(1h)', 'ago(2d)'), 'ago(10m)', 'ago(6h)'),
      'let burn = 14.4;',
      'let burn = 1.5;'
    )
    window: 'P2D'
    measure: 'Burn'
    threshold: 1
    dimensions: ['Target']
  }
  {
    name: 'probe-silent'
    severity: 1
    title: 'The probe is silent'
    summary: 'A vantage has stopped reporting on a target: no news is not good news.'
    query: probeSilent
    window: windows.silence
    measure: ''
    threshold: 0
    dimensions: ['Target', 'Vantage']
  }
]

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: rule.name
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Storage probe: ${rule.title}'
      description: '${rule.summary} Runbook: ${runbook}#${rule.name}'
      enabled: true
      severity: rule.severity
      scopes: [workspaceId]
      targetResourceTypes: ['Microsoft.OperationalInsights/workspaces']
      evaluationFrequency: rule.window == 'P2D' ? 'PT1H' : 'PT5M'
      windowSize: rule.window
      autoMitigate: true
      checkWorkspaceAlertsStorageConfigured: false
      // A new workspace does not know its tables until the first row arrives; the repository's tests bind each query.
      skipQueryValidation: true
      criteria: {
        allOf: [
          union(
            {
              query: rule.query
              timeAggregation: empty(rule.measure) ? 'Count' : 'Maximum'
              operator: 'GreaterThan'
              threshold: rule.threshold
              dimensions: map(rule.dimensions, name => { name: name, operator: 'Include', values: ['*'] })
              failingPeriods: { minFailingPeriodsToAlert: 1, numberOfEvaluationPeriods: 1 }
            },
            empty(rule.measure) ? {} : { metricMeasureColumn: rule.measure }
          )
        ]
      }
      actions: {
        actionGroups: [actionGroupId]
        customProperties: { runbook: '${runbook}#${rule.name}' }
      }
    }
  }
]

// What Azure itself says of the account, for the day on which the probe is the thing that broke. It sees only requests
// that reached the service, so it cannot stand for the probe.
resource platformAlerts 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for accountId in accountIds: {
    name: 'platform-availability-${last(split(accountId, '/'))}'
    location: 'global'
    tags: tags
    properties: {
      description: 'Azure counts failed requests on an endpoint of this account. Runbook: ${runbook}#platform-availability'
      enabled: true
      severity: 2
      scopes: [accountId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: 'availability'
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: 'Microsoft.Storage/storageAccounts'
            metricName: 'Availability'
            dimensions: [{ name: 'GeoType', operator: 'Include', values: ['*'] }]
            operator: 'LessThan'
            threshold: 99
            timeAggregation: 'Average'
          }
        ]
      }
      actions: [{ actionGroupId: actionGroupId, webHookProperties: { runbook: '${runbook}#platform-availability' } }]
    }
  }
]
