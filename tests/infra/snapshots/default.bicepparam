// What a first 'azd up' makes: one account, one vantage, nothing chosen but a name and a region.
using '../../../infra/main.bicep'

param environmentName = 'probe'
param location = 'westeurope'
