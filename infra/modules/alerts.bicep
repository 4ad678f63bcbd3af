// Who is woken by what. What can go wrong stands in conditions.json, each condition once; here is only how Azure looks
// for it: a metric alert for each of what nobody may wait for, and one query for all conditions together.

import { heartbeat, labels } from 'shared.bicep'

param location string
param tags labels
param workspaceId string
param applicationInsightsId string
param actionGroupId string
@description('Ids of the watched accounts that the platform\'s own metric alert can reach: those of this subscription.')
param accountIds string[]
@description('The names of the targets.')
param targets string[]
@description('The list in conditions.kql: each pair of target and vantage that ought to report.')
param expectedPairs string
param vantageCount int
@description('The apps whose health is asked for from outside; none where nobody asks.')
param heartbeats heartbeat[]
@description('Minutes between two such questions.')
param heartbeatMinutes int
@description('Minutes between two ticks.')
param intervalMinutes int
@description('The share of reads, in percent, that must be served; text, since Bicep knows no fractions.')
param sloPercent string
param rpoSeconds int
@description('When this deployment began, UTC: what settles by itself is told from an hour later on.')
param deployedAt string
@description('A rule for each severity, so that Azure\'s own field has it, at the price of three rules.')
param rulePerSeverity bool
param runbook string

var conditions = loadJsonContent('../conditions.json')

// At a slower schedule as many ticks take longer. Each time stands in the query as a literal, which is all that a rule
// takes there, and each but once with its meaning: in sight, silent, quiet before, maintained until lately.
var times = {
  '1': { sight: '10m', silent: '6m', quiet: '40m', maintained: '15m', metric: 'PT5M' }
  '2': { sight: '15m', silent: '9m', quiet: '45m', maintained: '20m', metric: 'PT5M' }
  '5': { sight: '30m', silent: '18m', quiet: '60m', maintained: '35m', metric: 'PT15M' }
}[string(intervalMinutes)]

var limits = map(
  filter(conditions, each => contains(each.by, 'query')),
  each => {
    severity: each.severity
    row: join(
      [
        '"${each.name}"'
        '"${each.severity}"'
        string(intervalMinutes == 1 ? each.least : each.leastSlower)
        string(each.share)
        each.settles ? 'true' : 'false'
        '"${each.first} ${runbook}#${each.name}"'
      ],
      ', '
    )
  }
)

var set = [
  { from: '["store", "francecentral"];', to: expectedPairs }
  { from: 'let deployed = datetime(2000-01-01);', to: 'let deployed = datetime(${deployedAt});' }
  { from: 'let rpo_seconds = 900;', to: 'let rpo_seconds = ${rpoSeconds};' }
  { from: 'let slo_percent = 99.9;', to: 'let slo_percent = ${sloPercent};' }
  { from: 'ago(40m)', to: 'ago(${times.quiet})' }
  { from: 'ago(15m)', to: 'ago(${times.maintained})' }
  { from: 'ago(10m)', to: 'ago(${times.sight})' }
  { from: 'ago(6m)', to: 'ago(${times.silent})' }
]
var query = reduce(
  set,
  loadTextContent('../queries/conditions.kql'),
  (text, each) => replace(text, each.from, each.to)
)
var rules = rulePerSeverity
  ? [
      { name: 'conditions-0', severity: 0, severities: [0] }
      { name: 'conditions-1', severity: 1, severities: [1] }
      { name: 'conditions-2', severity: 2, severities: [2] }
    ]
  : [{ name: 'conditions', severity: 1, severities: [0, 1, 2] }]

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: rule.name
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Storage probe: ${rule.name}'
      description: 'Condition says what, Severity how bad (0 the worst), Target and Side where, Situation since when and who serves, First what to do first; the metric value is how many seconds of writes a failover now would lose, -1 where nobody knows. Runbook: ${runbook}'
      enabled: true
      severity: rule.severity
      scopes: [workspaceId]
      targetResourceTypes: ['Microsoft.OperationalInsights/workspaces']
      evaluationFrequency: 'PT5M'
      // Every time stands in the query; with ago() in it, two days are in sight whatever stands here.
      windowSize: 'PT5M'
      overrideQueryTimeRange: 'P2D'
      autoMitigate: true
      checkWorkspaceAlertsStorageConfigured: false
      // A new workspace does not know its tables until the first row arrives; the repository's tests bind the query.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: replace(
              query,
              '["endpoint-down", "1", 2, 50, false, "See the runbook."];',
              '[${join(map(filter(limits, each => contains(rule.severities, each.severity)), each => each.row), ', ')}];'
            )
            // Every row is to be told, whatever would be lost: the least is -1.
            timeAggregation: 'Maximum'
            metricMeasureColumn: 'LossSeconds'
            operator: 'GreaterThan'
            threshold: -2
            dimensions: map(
              ['Condition', 'Severity', 'Target', 'Side', 'Situation', 'First'],
              name => { name: name, operator: 'Include', values: ['*'] }
            )
            failingPeriods: { minFailingPeriodsToAlert: 1, numberOfEvaluationPeriods: 1 }
          }
        ]
      }
      actions: { actionGroups: [actionGroupId] }
    }
  }
]

// What nobody may wait for, by the metric that Application Insights itself makes of the results as they arrive, whoever
// sent them: https://learn.microsoft.com/azure/azure-monitor/app/standard-metrics. It is looked at each minute.
var alarms = flatten(map(targets, target => [
  { target: target, side: 'reads', result: 'reads failing', condition: 'reads-failing' }
  { target: target, side: 'primary', result: 'primary down', condition: 'endpoint-down' }
  { target: target, side: 'secondary', result: 'secondary down', condition: 'endpoint-down' }
]))

resource alarmAlerts 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for alarm in alarms: {
    name: '${alarm.condition}-${alarm.target}-${alarm.side}'
    location: 'global'
    tags: tags
    properties: {
      description: '${alarm.target}, ${alarm.side}: ${filter(conditions, each => each.name == alarm.condition)[0].summary} First: ${filter(conditions, each => each.name == alarm.condition)[0].first} Who serves and what would be lost: python -m probe status --url. Runbook: ${runbook}#${alarm.condition}'
      enabled: true
      severity: filter(conditions, each => each.name == alarm.condition)[0].severity
      scopes: [applicationInsightsId]
      evaluationFrequency: 'PT1M'
      windowSize: times.metric
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: concat(
          [
            {
              name: 'told'
              criterionType: 'StaticThresholdCriterion'
              metricNamespace: 'microsoft.insights/components'
              metricName: 'availabilityResults/count'
              dimensions: [
                { name: 'availabilityResult/name', operator: 'Include', values: ['${alarm.target} ${alarm.result}'] }
              ]
              operator: 'GreaterThan'
              threshold: 1
              timeAggregation: 'Count'
            }
          ],
          // A vote of the vantages: it is the account, and not the network of one of them. With one alone it says when
          // all is over: what is told has no data then, whether an alert without data resolves is nowhere said, and one
          // criterion that is no longer fulfilled resolves it. It costs as much again, so not for the secondary there:
          // https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-types#applying-multiple-conditions-to-a-metric-alert-rule
          vantageCount == 1 && alarm.side == 'secondary'
            ? []
            : [
                {
                  name: 'seen by most'
                  criterionType: 'StaticThresholdCriterion'
                  metricNamespace: 'microsoft.insights/components'
                  metricName: 'availabilityResults/availabilityPercentage'
                  dimensions: [
                    { name: 'availabilityResult/name', operator: 'Include', values: ['${alarm.target} ${alarm.side}'] }
                  ]
                  operator: 'LessThan'
                  threshold: vantageCount == 1 ? 100 : 50
                  timeAggregation: 'Average'
                }
              ]
        )
      }
      actions: [{ actionGroupId: actionGroupId, webHookProperties: { runbook: '${runbook}#${alarm.condition}' } }]
    }
  }
]

// What Azure itself says of the account, for the day on which the probe is the thing that broke. It sees only requests
// that reached the service, so it cannot stand for the probe.
var ofPlatform = filter(conditions, each => each.name == 'platform-availability')[0]
resource platformAlerts 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for accountId in accountIds: {
    name: 'platform-availability-${last(split(accountId, '/'))}'
    location: 'global'
    tags: tags
    properties: {
      description: '${ofPlatform.summary} First: ${ofPlatform.first} Runbook: ${runbook}#platform-availability'
      enabled: true
      severity: ofPlatform.severity
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

// The second channel: a workflow outside of the app and of the workspace asks each app for its health, and a run that
// got no 200 has failed. It begins an hour after a deployment, when there is an app to ask.
var ofHeartbeat = filter(conditions, each => each.name == 'heartbeat')[0]
// Not every set of type data has this provider.
#disable-next-line BCP081 unchecked-rule
resource workflows 'Microsoft.Logic/workflows@2019-05-01' = [
  for each in heartbeats: {
    name: each.name
    location: location
    tags: tags
    properties: {
      state: 'Enabled'
      definition: {
        '$schema': 'https://schema.management.azure.com/providers/Microsoft.Logic/schemas/2016-06-01/workflowdefinition.json#'
        contentVersion: '1.0.0.0'
        triggers: {
          due: {
            type: 'Recurrence'
            recurrence: {
              frequency: 'Minute'
              interval: heartbeatMinutes
              startTime: dateTimeAdd(deployedAt, 'PT1H', 'yyyy-MM-ddTHH:mm:ssZ')
            }
          }
        }
        actions: {
          health: {
            type: 'Http'
            inputs: {
              method: 'GET'
              uri: each.url
              // An instance may have to start first.
              retryPolicy: { type: 'fixed', count: 2, interval: 'PT20S' }
            }
          }
        }
      }
    }
  }
]

resource heartbeatAlerts 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for (each, i) in heartbeats: {
    name: 'heartbeat-${each.vantage}'
    location: 'global'
    tags: tags
    properties: {
      description: '${each.vantage}: ${ofHeartbeat.summary} First: ${ofHeartbeat.first} Runbook: ${runbook}#heartbeat'
      enabled: true
      severity: ofHeartbeat.severity
      scopes: [workflows[i].id]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: 'failed'
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: 'Microsoft.Logic/workflows'
            metricName: 'RunsFailed'
            operator: 'GreaterThan'
            threshold: 0
            timeAggregation: 'Total'
          }
        ]
      }
      actions: [{ actionGroupId: actionGroupId, webHookProperties: { runbook: '${runbook}#heartbeat' } }]
    }
  }
]
