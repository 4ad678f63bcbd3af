// What several modules agree on: the shapes of parameters, and the built-in roles by their published ids.

@export()
@description('One storage account to watch. Without existingAccountId the deployment makes it.')
type monitoredAccount = {
  @description('The target\'s name in telemetry, alerts and the workbook.')
  @minLength(1)
  @maxLength(30)
  name: string

  @description('Resource id of an account that exists, in any resource group or subscription of this tenant.')
  existingAccountId: string?

  @description('Region of the account: a new one is made there, and the first account\'s decides where to probe from. The location parameter when left out.')
  location: gzrsRegion?

  @description('For an existing account: a blob of its owner\'s to read, in place of a canary. Nothing is made or written there.')
  readOnly: ownBlob?

  @description('For an existing account with privateNetwork: the deployer may approve private endpoints on it. Else they wait for its owner.')
  approveEndpoints: bool?

  @description('Geo priority replication (an SLA on the lag, for block blobs only) of a new account.')
  geoPriorityReplication: bool?
}

@export()
@description('A blob that is there already, and that nobody here may write.')
type ownBlob = {
  @minLength(3)
  @maxLength(63)
  container: string

  @minLength(1)
  blob: string
}

@export()
@description('A connection that a function app reads by identity: the prefix of its settings, and both endpoints.')
type connection = {
  name: string
  prefix: string
  primary: string
  secondary: string
  readOnly: ownBlob?
}

@export()
@description('Who may be granted something.')
type principal = {
  @description('Stable name that goes into the grant\'s own name: it must be known before the deployment runs.')
  name: string
  id: string
  type: 'Device' | 'ForeignGroup' | 'Group' | 'ServicePrincipal' | 'User'
}

@export()
@description('An app whose health is asked for from outside.')
type heartbeat = {
  vantage: string
  name: string
  url: string
}

@export()
@description('Tags, as Azure takes them.')
type labels = {
  *: string
}

@export()
@description('The name zones of one vantage\'s network, by what they resolve.')
type zones = {
  blob: string
  queue: string
  table: string
}

@export()
@description('Regions of the public cloud with both GZRS storage and the Flex Consumption plan.')
type gzrsRegion =
  | 'australiaeast'
  | 'brazilsouth'
  | 'canadacentral'
  | 'centralindia'
  | 'centralus'
  | 'eastasia'
  | 'eastus'
  | 'eastus2'
  | 'francecentral'
  | 'germanywestcentral'
  | 'japaneast'
  | 'koreacentral'
  | 'northeurope'
  | 'norwayeast'
  | 'southafricanorth'
  | 'southcentralus'
  | 'southeastasia'
  | 'swedencentral'
  | 'uaenorth'
  | 'uksouth'
  | 'westeurope'
  | 'westus2'
  | 'westus3'

@export()
@description('Regions with the Flex Consumption plan; a vantage needs no GZRS.')
type flexRegion =
  | gzrsRegion
  | 'australiasoutheast'
  | 'italynorth'
  | 'northcentralus'
  | 'southindia'
  | 'spaincentral'
  | 'ukwest'
  | 'westcentralus'
  | 'westus'

@export()
@description('For each region the one to probe it from: near, yet neither the region itself nor the pair that holds the secondary.')
var defaultVantage = {
  australiaeast: 'southeastasia'
  brazilsouth: 'eastus2'
  canadacentral: 'eastus2'
  centralindia: 'southeastasia'
  centralus: 'southcentralus'
  eastasia: 'japaneast'
  eastus: 'centralus'
  eastus2: 'southcentralus'
  francecentral: 'germanywestcentral'
  germanywestcentral: 'francecentral'
  japaneast: 'koreacentral'
  koreacentral: 'japaneast'
  northeurope: 'uksouth'
  norwayeast: 'swedencentral'
  southafricanorth: 'uaenorth'
  southcentralus: 'centralus'
  southeastasia: 'centralindia'
  swedencentral: 'norwayeast'
  uaenorth: 'centralindia'
  uksouth: 'northeurope'
  westeurope: 'francecentral'
  westus2: 'westus3'
  westus3: 'westus2'
}

@export()
@description('Built-in roles, by the ids that Azure publishes for them.')
var roles = {
  blobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  blobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  blobDataReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  metricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  queueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  reader: 'acdd72a7-3385-48ef-bd42-f606fba81ae7'
  tableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
}
