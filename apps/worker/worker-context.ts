import type { SessionLedger } from '@dormouse/ledger';
import type { Hypervisor } from '@dormouse/hypervisor';
import type { KeyRing } from '@dormouse/keys';
import type { Logger, Metrics } from '@dormouse/observability';
import type { BlobStore } from '@dormouse/storage';
import type { GarbageRounds } from './host/garbage-rounds';
import type { ImageIndexer } from './host/image-indexer';
import type { Leases } from './leases';

/** What the processors work with. */
export interface WorkerContext {
  readonly hostId: string;
  /** Unique for the life of this process. */
  readonly workerId: string;
  readonly ledger: SessionLedger;
  readonly hypervisor: Hypervisor;
  readonly store: BlobStore;
  readonly keys: KeyRing;
  readonly images: ImageIndexer;
  readonly garbage: Pick<GarbageRounds, 'want'>;
  readonly leases: Leases;
  readonly logger: Logger;
  readonly metrics: Metrics;
}
