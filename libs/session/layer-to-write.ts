/** The layer of the disk that the machine of an operation writes to. */
export interface LayerToWrite {
  readonly generation: string;
  /** The generation it is made on; null for one on the golden images. */
  readonly on: string | null;
  /** Made by this operation: it goes again when the machine does not come to run. */
  readonly isNew: boolean;
}

/** What the disk of a machine that is about to start looks like now; null before it was ever written to. */
export interface DiskNow {
  readonly generation: string;
  /** A checkpoint relies on its content. */
  readonly sealed: boolean;
}

/**
 * The rule of the disk: a machine never writes to a sealed layer. A wake goes on from the layer of its checkpoint and a
 * boot from the disk as it is; what is sealed is gone on from in a layer of its own, named after the operation.
 */
export function layerToWrite(operationId: string, disk: DiskNow | null): LayerToWrite {
  if (disk !== null && !disk.sealed) return { generation: disk.generation, on: null, isNew: false };
  return { generation: operationId, on: disk?.generation ?? null, isNew: true };
}
