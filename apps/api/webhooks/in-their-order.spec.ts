import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { Delivery } from '@dormouse/ledger';
import { parseBrokerEvent } from '@dormouse/session';
import { inTheirOrder } from './in-their-order';

function deliveryOf(desktopId: string | null, index: number): Delivery {
  const type = desktopId === null ? 'vdc.broker.started' : 'vdc.session.idle';
  const event = { specversion: '1.0', id: `e-${index}`, source: 's', type, data: { desktopId } };
  return { webhookId: `w-${index}`, event: parseBrokerEvent(event) };
}

test('each desktop’s events are worked on in their order, whatever each takes, and answered in the order given', async () => {
  const entry = fc.record({ desktopId: fc.constantFrom('a', 'b', 'c', null), takesMs: fc.integer({ min: 0, max: 3 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 12 }), async (entries) => {
      const ended: number[] = [];
      const answers = await inTheirOrder(
        entries.map(({ desktopId }, index) => deliveryOf(desktopId, index)),
        async ({ webhookId }) => {
          const index = Number(webhookId.slice(2));
          // Whatever comes before and concerns the same is over.
          const before = entries.slice(0, index).flatMap(({ desktopId }, earlier) => {
            const mine = entries[index]!.desktopId;
            return desktopId === mine || desktopId === null || mine === null ? [earlier] : [];
          });
          for (const earlier of before) expect(ended).toContain(earlier);
          await sleep(entries[index]!.takesMs);
          ended.push(index);
          return index;
        },
      );
      expect(answers).toEqual(entries.map((_, index) => index));
    }),
    { numRuns: 40 },
  );
});

test('when one fails, that is thrown, and not before the others are over', async () => {
  let over = 0;
  const work = async ({ webhookId }: Delivery): Promise<void> => {
    if (webhookId === 'w-0') throw new Error('the database is away');
    await sleep(10);
    over += 1;
  };
  const act = inTheirOrder(
    ['a', 'b', 'c'].map((id, index) => deliveryOf(id, index)),
    work,
  );
  await expect(act).rejects.toThrow('the database is away');
  expect(over).toBe(2);
});
