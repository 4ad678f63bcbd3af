// The shared workbook; its JSON is made from infra/queries and opens in the portal's editor as it is.

import { labels } from 'shared.bicep'

param location string
param tags labels
param workspaceId string
param rpoSeconds int
@description('The list in probe-silent.kql: each pair of target and vantage that ought to report.')
param expectedPairs string

// The queries stand in the workbook as JSON texts, so what is put into them is escaped like them.
var withWorkspace = replace(loadTextContent('../workbook/workbook.json'), 'WORKSPACE-RESOURCE-ID', workspaceId)
var withObjective = replace(withWorkspace, 'let rpo_seconds = 900;', 'let rpo_seconds = ${rpoSeconds};')
var withPairs = replace(
  withObjective,
  '[\\"store\\", \\"francecentral\\"];',
  replace(expectedPairs, '"', '\\"')
)

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(workspaceId, 'storage-probe')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    category: 'workbook'
    displayName: 'Storage probe'
    serializedData: withPairs
    sourceId: workspaceId
    version: '1.0'
  }
}

output id string = workbook.id
