import { isDesktopEvent } from '@dormouse/session';
import type { Delivery } from '@dormouse/ledger';
import { desktopKey } from '@dormouse/text';

/**
 * Works on all of them at once, but on those of one desktop one after the other; what concerns no single desktop waits for all before it,
 * and all after it wait for that. Answers in the order given, when all are done. @throws what the first of them throws
 */
export async function inTheirOrder<T>(
  deliveries: readonly Delivery[],
  work: (delivery: Delivery) => Promise<T>,
): Promise<T[]> {
  const started: Promise<T>[] = [];
  const lastOf = new Map<string, Promise<T>>();
  let everybody: Promise<unknown> = Promise.resolve();
  for (const delivery of deliveries) {
    const desktopId = isDesktopEvent(delivery.event) ? desktopKey(delivery.event.desktopId) : null;
    const before = desktopId === null ? Promise.all(started) : (lastOf.get(desktopId) ?? everybody);
    const done = before.then(() => work(delivery));
    started.push(done);
    if (desktopId === null) {
      everybody = done;
      lastOf.clear();
    } else {
      lastOf.set(desktopId, done);
    }
  }
  return settled(started);
}

/** When one fails, the others are waited for all the same: nothing goes on behind an answer. */
async function settled<T>(started: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(started);
  return Promise.all(started);
}
