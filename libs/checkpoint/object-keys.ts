import { safeName } from '@dormouse/text';

/** Where the objects of one checkpoint lie in the store. */
export interface CheckpointKeys {
  /** Common beginning of all of them, with its closing slash. */
  readonly prefix: string;
  readonly manifest: string;
  readonly pageMap: string;
  readonly knownPages: string;
  readonly wakePack: string;
  readonly wakePages: string;
  readonly pack: (number: number) => string;
  /** Common beginning of all traces. */
  readonly traces: string;
  readonly trace: (id: string) => string;
}

/** Common beginning of all objects of a desktop. */
export function desktopPrefix(desktopId: string): string {
  return `desktops/${safeName(desktopId)}/`;
}

export function objectKeys(desktopId: string, checkpointId: string): CheckpointKeys {
  const prefix = `${desktopPrefix(desktopId)}checkpoints/${checkpointId}/`;
  return {
    prefix,
    manifest: `${prefix}manifest`,
    pageMap: `${prefix}page-map`,
    knownPages: `${prefix}known-pages`,
    wakePack: `${prefix}wake-pack`,
    wakePages: `${prefix}wake-pages`,
    pack: (number) => `${prefix}pack-${String(number).padStart(5, '0')}`,
    traces: `${prefix}trace-`,
    trace: (id) => `${prefix}trace-${id}`,
  };
}

export interface CheckpointIdentity {
  readonly desktopId: string;
  readonly checkpointId: string;
}
