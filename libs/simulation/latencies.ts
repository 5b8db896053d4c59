import type { ErrorCode } from '@dormouse/errors';

/** What a driver does, as far as it takes time and can fail. */
export type Step =
  | 'examine'
  | 'boot'
  | 'answer'
  | 'capture'
  | 'switchOver'
  | 'commit'
  | 'wake'
  | 'ready'
  | 'hydrate'
  | 'thaw'
  | 'release';

/**
 * How long a step takes, in ms, of a guest with this much memory: like QEMU with KVM on a host whose storage gives 400 MB/s. Of
 * what a used desktop holds a sixth has to be stored, and all of it is read back.
 */
export const latenciesMs: Readonly<Record<Step, (memoryMiB: number) => number>> = {
  examine: () => 250,
  boot: () => 150,
  answer: () => 8_000,
  capture: (memoryMiB) => 300 + memoryMiB / 6 / 0.4,
  switchOver: () => 60,
  commit: () => 80,
  wake: () => 350,
  ready: () => 200,
  hydrate: (memoryMiB) => memoryMiB / 0.4,
  thaw: () => 50,
  release: () => 150,
};

/** A step takes between this much less and this much more. */
export const jitter = 0.3;

/** What a step that fails fails with; one that is not named does not. */
export const failures: Partial<Readonly<Record<Step, ErrorCode>>> = {
  boot: 'MACHINE_START_FAILED',
  capture: 'MIGRATION_FAILED',
  switchOver: 'PAGER_FAILED',
  commit: 'STORAGE_FAILED',
  wake: 'PAGER_FAILED',
  hydrate: 'PAGER_FAILED',
};

/** The disk that a step needs room on. */
export const writesTo: Partial<Readonly<Record<Step, 'host' | 'storage'>>> = {
  boot: 'host',
  wake: 'host',
  capture: 'storage',
  commit: 'storage',
};
