import { consentedRung, requestOf, rungsOf, type Resort } from './ladder';
import { consents } from './pool-policy';
import { defaultPoolPolicy } from './pool-policy';
import type { RecordedError } from './session';

const own: Resort = { id: 'own', durableAtMs: 3_000, failures: 1 };
const newer: Resort = { id: 'newer', durableAtMs: 2_000, failures: 0 };
const oldest: Resort = { id: 'oldest', durableAtMs: 1_000, failures: 0 };
const lost: RecordedError = { code: 'MACHINE_GONE', message: 'gone', details: {} };
const damaged: RecordedError = { code: 'CHECKPOINT_CORRUPT', message: 'damaged', details: {} };
const all = { own, older: [oldest, newer], coldBootFailures: 0 };

function steps(lastError: RecordedError | null, resorts: Parameters<typeof rungsOf>[1] = all): string[] {
  const rungs = rungsOf({ machine: 'restore-blocked', lastError }, resorts);
  return rungs.map(({ to, checkpointId }) => (checkpointId === null ? to : `${to} ${checkpointId}`));
}

test('what loses least comes first: its own checkpoint again, the newest before it, its disk alone', () => {
  expect(steps(lost)).toEqual(['own-checkpoint own', 'older-checkpoint newer', 'cold-boot']);
});

test('its own checkpoint is passed over when it is damaged, or has failed too often', () => {
  expect(steps(damaged)).toEqual(['older-checkpoint newer', 'cold-boot']);
  expect(steps(lost, { ...all, own: { ...own, failures: 3 } })).toEqual(['older-checkpoint newer', 'cold-boot']);
});

test('an older checkpoint that has failed is passed over for one before it; its disk is what is left in the end', () => {
  const tried = { ...newer, failures: 1 };
  expect(steps(damaged, { ...all, older: [oldest, tried] })).toEqual(['older-checkpoint oldest', 'cold-boot']);
  expect(steps(damaged, { ...all, older: [{ ...oldest, failures: 1 }, tried] })).toEqual(['cold-boot']);
  expect(steps(damaged, { ...all, own: null, older: [] })).toEqual(['cold-boot']);
});

test('a desktop that is not blocked has no steps', () => {
  expect(rungsOf({ machine: 'saved', lastError: damaged }, all)).toEqual([]);
});

test('a pool consents to the next step or to none: what loses more waits for what loses less', () => {
  const next = (given: readonly (typeof consents)[number][], lastError = damaged) =>
    consentedRung(rungsOf({ machine: 'restore-blocked', lastError }, all), { ...defaultPoolPolicy, consents: given })
      ?.to;
  expect(next([])).toBeUndefined();
  expect(next(['cold-boot'])).toBeUndefined();
  expect(next(['own-checkpoint', 'older-checkpoint'])).toBe('older-checkpoint');
  expect(next(['older-checkpoint', 'cold-boot'], lost)).toBeUndefined();
  expect(next(['own-checkpoint'], lost)).toBe('own-checkpoint');
});

test('a cold boot that has failed is not tried again by itself, but can be asked for', () => {
  const rungs = rungsOf({ machine: 'restore-blocked', lastError: damaged }, { own, older: [], coldBootFailures: 1 });
  expect(consentedRung(rungs, { ...defaultPoolPolicy, consents })).toBeNull();
  expect(rungs).toMatchObject([{ to: 'cold-boot', failed: true, asOfMs: own.durableAtMs }]);
});

test('each step is asked for as what it is', () => {
  const who = { reason: 'lost', requestedBy: 'key:anna' };
  const [again, before, disk] = rungsOf({ machine: 'restore-blocked', lastError: lost }, all);
  expect(requestOf(again!, who)).toMatchObject({ kind: 'restore', checkpoint: { id: 'own', current: true }, ...who });
  expect(requestOf(before!, who)).toMatchObject({ kind: 'restore', checkpoint: { id: 'newer', current: false } });
  expect(requestOf(disk!, who)).toEqual({ type: 'request', kind: 'boot', fromDiskAlone: true, ...who });
});
