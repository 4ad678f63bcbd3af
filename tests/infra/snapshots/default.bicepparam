// What a first 'azd up' makes: one account, one vantage, nothing chosen but a name and a region.
using '../../../infra/main.bicep'

param environmentName = 'probe'
param location = 'westeurope'

param deployedAt = '2026-01-01T00:00:00Z'
