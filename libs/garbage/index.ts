/**
 * What nobody needs any more, and its removal: objects in the storage, layers on a host's disks, what deleted desktops have
 * left. Does not live here: which checkpoints stay (libs/ledger), what is in them (libs/checkpoint), when it is done (apps).
 */
export type { GarbageLedger } from './garbage-ledger';
export { LayerCollector, type LayerCollectorOptions, type LayerReport } from './layer-collector';
export { StoreCollector, type Failure, type StoreCollectorOptions, type StoreReport } from './store-collector';
