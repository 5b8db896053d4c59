import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { sendEvent, type WebhookAnswer } from '@dormouse/api-client';
import { DormouseError } from '@dormouse/errors';
import type { RehearsedView } from '@dormouse/views';
import { parseBrokerEvent, type JsonObject } from '@dormouse/session';
import { decodeText } from '@dormouse/text';
import type { Command } from 'commander';
import type { CommandContext } from './command-context';
import { counted, showAnswer } from './show';
import { table } from './table';

/** `events replay`: a file of recorded events, JSON lines, each a CloudEvent as a broker sends it. */
export function addReplay(events: Command, { answer }: CommandContext): void {
  events
    .command('replay <file>')
    .description('send recorded events again, in their order: JSON lines, each a CloudEvent; its id is the webhook-id')
    .option('--dry-run', 'change nothing: show what would be decided if they came now')
    .action((file: string, { dryRun }: { dryRun?: boolean }) =>
      answer(async ({ client, url, webhookSecret }) => {
        const recorded = await readEvents(file);
        if (dryRun === true) {
          const value = await client.rehearse(recorded.map(({ event }) => event));
          return { value, text: showRehearsed(value) };
        }
        const secrets = new Map<string, string>();
        for (const { source } of recorded) {
          if (!secrets.has(source)) secrets.set(source, await webhookSecret(source));
        }
        const value: Sent[] = [];
        for (const { line, event, id, source, type } of recorded) {
          // One at a time: the next one may only mean what it says after this one.
          const message = { webhookId: webhookIdOf(source, id), event };
          const sent = await sendEvent({ url, secret: secrets.get(source)! }, message).catch((error: unknown) => {
            throw atLine(file, line, error, `; ${counted(value.length, 'event')} before it had been sent`);
          });
          value.push({ id, type, ...sent });
        }
        return { value, text: showSent(value) };
      }),
    );
}

type Sent = WebhookAnswer & { readonly id: string; readonly type: string };

interface Recorded {
  readonly line: number;
  readonly event: JsonObject;
  readonly id: string;
  readonly source: string;
  readonly type: string;
}

/** @throws REQUEST_INVALID, EVENT_MALFORMED naming the line, before anything is sent */
async function readEvents(file: string): Promise<Recorded[]> {
  return (await linesOf(file)).flatMap((text, index): Recorded[] => {
    if (text.trim() === '') return [];
    try {
      const event = JSON.parse(text) as JsonObject;
      const { id, source, type } = parseBrokerEvent(event);
      return [{ line: index + 1, event, id, source, type }];
    } catch (cause) {
      throw atLine(file, index + 1, cause);
    }
  });
}

async function linesOf(file: string): Promise<string[]> {
  try {
    return decodeText(await readFile(file)).split('\n');
  } catch (cause) {
    throw new DormouseError('REQUEST_INVALID', `${file} cannot be read: ${(cause as Error).message}`, {}, { cause });
  }
}

function atLine(file: string, line: number, cause: unknown, rest = ''): DormouseError {
  const { code, details } = cause instanceof DormouseError ? cause : { code: 'REQUEST_INVALID' as const, details: {} };
  const message = `${file}, line ${line}: ${(cause as Error).message}${rest}`;
  return new DormouseError(code, message, { ...details, line }, { cause });
}

/** The event's own id where a header can hold it, else one that is the same each time. */
function webhookIdOf(source: string, id: string): string {
  if (/^[\x21-\x7e]{1,128}$/.test(id)) return id;
  return `event_${createHash('sha256').update(`${source}\n${id}`).digest('hex')}`;
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
