// Two vantages that reach storage through private endpoints alone.
using '../../../infra/main.bicep'

param environmentName = 'closed'
param location = 'francecentral'
param probeLocations = ['germanywestcentral', 'uksouth']
param privateNetwork = true
