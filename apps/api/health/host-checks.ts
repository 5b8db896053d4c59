import type { HostView } from '@dormouse/views';
import type { Check } from './readiness';

export type SeenHost = Pick<HostView, 'alive' | 'intent' | 'machines' | 'troubles' | 'capabilities'>;

/**
 * What hosts say of themselves and of the storage. Whoever asks need not say who it is: hosts are counted, and nothing is named.
 * Without one the api still takes webhooks, so neither keeps it from being ready.
 */
export function hostChecks(hosts: readonly SeenHost[]): { readonly storage: Check; readonly hosts: Check } {
  const heard = hosts.filter(({ alive, intent }) => alive && intent !== 'fenced');
  if (heard.length === 0) {
    return {
      storage: degraded('no host is heard from that could look at it'),
      hosts: { state: 'down', reason: `no host is heard from: start a worker${seeList}` },
    };
  }
  return { storage: storageCheck(heard), hosts: hostCheck(hosts, heard) };
}

const seeList = '; `dormouse host list` says more';

function storageCheck(heard: readonly SeenHost[]): Check {
  const codes = heard.flatMap(({ troubles }) => troubles.filter(({ part }) => part === 'storage').slice(0, 1));
  if (codes.length > 0) {
    const reason = `${codes.length} of ${heard.length} hosts cannot use it (${inWords(codes)})${seeList}`;
    return codes.length === heard.length ? { state: 'down', reason } : degraded(reason);
  }
  const storages = new Set(
    heard.flatMap(({ capabilities: { storage } }) => (typeof storage === 'string' ? [storage] : [])),
  );
  if (storages.size < 2) return { state: 'up' };
  return degraded(`hosts use ${storages.size} different storages: give all the same STORAGE_URL${seeList}`);
}

function hostCheck(hosts: readonly SeenHost[], heard: readonly SeenHost[]): Check {
  const silent = hosts.filter(({ alive, intent, machines }) => !alive && intent !== 'fenced' && machines > 0);
  const troubled = heard.filter(({ troubles }) => troubles.some(({ part }) => part !== 'storage'));
  const troubles = troubled.flatMap((host) => host.troubles.filter(({ part }) => part !== 'storage'));
  const reasons = [
    ...(silent.length > 0 ? [`${silent.length} hosts with machines are silent`] : []),
    ...(troubled.length > 0 ? [`${troubled.length} of ${heard.length} hosts cannot work (${inWords(troubles)})`] : []),
    ...(heard.every(({ intent }) => intent !== 'open') ? ['no host takes machines: all are cordoned or drained'] : []),
  ];
  return reasons.length === 0 ? { state: 'up' } : degraded(`${reasons.join(', ')}${seeList}`);
}

/** `STORAGE_FULL, KEY_UNAVAILABLE`, each once. A worker of a newer version may have codes that are not known here. */
function inWords(troubles: readonly { readonly code: string }[]): string {
  return [...new Set(troubles.map(({ code }) => code))].join(', ');
}

function degraded(reason: string): Check {
  return { state: 'degraded', reason };
}
