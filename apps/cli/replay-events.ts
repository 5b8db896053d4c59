import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { sendEvent, type WebhookAnswer } from '@dormouse/api-client';
import { DormouseError } from '@dormouse/errors';
import type { RehearsedView } from '@dormouse/ledger';
import { parseBrokerEvent, type JsonObject } from '@dormouse/session';
import type { Command } from 'commander';
import type { Answering } from './program';
import { showAnswer } from './show';
import { table } from './table';

/** `events replay`: a file of recorded events, JSON lines, each a CloudEvent as a broker sends it. */
export function addReplay(events: Command, answer: Answering): void {
  events
    .command('replay <file>')
    .description('send recorded events again, in their order: JSON lines, each a CloudEvent; its id is the webhook-id')
    .option('--dry-run', 'change nothing: show what would be decided if they came now')
    .action((file: string, { dryRun }: { dryRun?: boolean }) =>
      answer(async ({ client, url, webhookSecret }) => {
        const recorded = await readEvents(file);
        if (dryRun === true) {
          const value = await client.rehearse(recorded);
          return { value, text: showRehearsed(value) };
        }
        const value: Sent[] = [];
        for (const event of recorded) {
          const { id, source, type } = parseBrokerEvent(event);
          // One at a time: the next one may only mean what it says after this one.
          const sent = await sendEvent({ url, secret: await webhookSecret(source) }, { webhookId: id, event });
          value.push({ id, type, ...sent });
        }
        return { value, text: showSent(value) };
      }),
    );
}

type Sent = WebhookAnswer & { readonly id: string; readonly type: string };

/** @throws REQUEST_INVALID, EVENT_MALFORMED naming the line, before anything is sent */
async function readEvents(file: string): Promise<JsonObject[]> {
  const events: JsonObject[] = [];
  let line = 0;
  try {
    for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      line += 1;
      if (text.trim() === '') continue;
      const event = JSON.parse(text) as JsonObject;
      parseBrokerEvent(event);
      events.push(event);
    }
  } catch (cause) {
    const code = cause instanceof DormouseError ? cause.code : 'REQUEST_INVALID';
    throw new DormouseError(code, `${file}, line ${line}: ${(cause as Error).message}`, { line }, { cause });
  }
  return events;
}

function showSent(sent: readonly Sent[]): string {
  return table(
    sent,
    [
      { title: 'EVENT', text: ({ id }) => id },
      { title: 'TYPE', text: ({ type }) => type },
      { title: 'ANSWER', text: showAnswer },
    ],
    'no events in the file',
  );
}

function showRehearsed(rehearsed: readonly RehearsedView[]): string {
  return table(
    rehearsed,
    [
      { title: 'EVENT', text: ({ webhookId }) => webhookId },
      { title: 'TYPE', text: ({ type }) => type },
      { title: 'DESKTOP', text: ({ desktopId }) => desktopId ?? '-' },
      { title: 'OUTCOME', text: ({ outcome }) => outcome },
      { title: 'STATE', text: ({ state }) => state ?? '-' },
      {
        title: 'OPERATIONS',
        text: ({ operations }) => operations.map(({ kind, becomes }) => `${kind} ${becomes}`).join(', ') || '-',
      },
      { title: 'WHY', text: ({ explanation }) => explanation },
    ],
    'no events in the file',
  );
}
