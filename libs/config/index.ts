/**
 * The environment, read once, validated and typed, and the few files of the data directory that processes share: keys and
 * the api's address. Does not live here: policies of pools (they are rows of the database) and anything that changes.
 */
export { readApiAddress, removeApiAddress, writeApiAddress, type ApiAddress } from './api-address';
export { dataPaths } from './data-directory';
export { claimDataDirectory, type DataDirectoryClaim } from './data-directory-claim';
export { tryDirectory, usableDirectory } from './usable-directory';
export { loadKeys, type Keys } from './keys';
export { forAllBrokers, lostSecrets } from './secrets-file';
export {
  hostIdFrom,
  loadConfig,
  requireServices,
  type BrokerSecret,
  type DormouseConfig,
  type Environment,
  type LogLevel,
  type ServiceConfig,
} from './load-config';
export { settingRows, type RateLimit, type Slots, type Variable } from './settings';
