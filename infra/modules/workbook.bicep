// The shared workbook; its JSON is made from infra/queries and opens in the portal's editor as it is.

import { labels } from 'shared.bicep'

param location string
param tags labels
param workspaceId string
param rpoSeconds int

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(workspaceId, 'storage-probe')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    category: 'workbook'
    displayName: 'Storage probe'
    serializedData: replace(
      replace(loadTextContent('../workbook/workbook.json'), 'WORKSPACE-RESOURCE-ID', workspaceId),
      'let rpo_seconds = 900;',
      'let rpo_seconds = ${rpoSeconds};'
    )
    sourceId: workspaceId
    version: '1.0'
  }
}

output id string = workbook.id
