import { readFile } from 'node:fs/promises';
import { sendWebhook, type DesktopCommand } from '@dormouse/api-client';
import { DormouseError } from '@dormouse/errors';
import { brokerEventTypes, disconnectReasons, type BrokerEventType, type JsonObject } from '@dormouse/session';
import { decodeText } from '@dormouse/text';
import { Argument, Command, Option } from 'commander';
import type { DormouseConfig } from '@dormouse/config';
import type { Access } from './access';
import { addApiKeys } from './api-keys';
import { addAudit } from './audit';
import { addBrokers } from './brokers';
import { addCheckpointKeeping } from './checkpoint-keeping';
import { addCheckpointTools } from './checkpoint-tools';
import { addDesktopPlans } from './desktop-plans';
import { addHosts } from './hosts';
import { addReplay } from './replay-events';
import { rotateKeys } from './rotate-keys';
import {
  counted,
  showAnswer,
  showDesktop,
  showDesktops,
  showKeys,
  showOperation,
  showOperations,
  showPool,
  showRotation,
} from './show';

export interface ProgramContext {
  readonly openAccess: () => Promise<Access>;
  readonly loadConfig: () => DormouseConfig;
  readonly print: (text: string) => void;
  readonly now: () => Date;
}

export interface Answer {
  /** What `--json` prints. */
  readonly value: unknown;
  /** What a person reads. */
  readonly text: string;
}

/** Runs a command against the api and prints what came of it. */
export type Answering = (work: (access: Access) => Promise<Answer>) => Promise<void>;

const commands: Readonly<Record<DesktopCommand, string>> = {
  start: 'boot a desktop that is off',
  save: 'put a desktop to sleep now',
  restore: 'wake a desktop that sleeps or is restore-blocked',
  stop: 'power a desktop off; what is only in its memory is lost',
};

const goingBack =
  'an older one that is kept (see `checkpoint list`): the desktop goes on from there, ' +
  'and what its user did after that moment is gone from it';

/** Who speaks when nobody else is named. */
const cliSource = 'dormouse-cli';

interface SendOptions {
  readonly connection: string;
  readonly source: string;
  readonly reason?: string;
}

interface CommandOptions {
  readonly reason: string;
  readonly force?: boolean;
  readonly fresh?: boolean;
  readonly checkpoint?: string;
}

/** The whole command line. Errors of the api are thrown by `parseAsync`. */
export function buildProgram(context: ProgramContext): Command {
  const { openAccess, print, now } = context;
  const program = new Command('dormouse')
    .description('Puts virtual desktops to sleep when their users leave and wakes them when they return')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nFinds the api by the data directory (DATA_DIR), or by DORMOUSE_URL and DORMOUSE_KEY.');

  const answer: Answering = async (work) => {
    const { value, text } = await work(await openAccess());
    print(program.opts<{ json?: boolean }>().json ? JSON.stringify(value) : text);
  };

  const desktop = program.command('desktop').description('desktops: list, register, put to sleep, wake');
  desktop
    .command('list')
    .description('every desktop and its state')
    .action(() =>
      answer(async ({ client }) => {
        const desktops = [];
        for await (const one of client.desktops()) desktops.push(one);
        return { value: desktops, text: showDesktops(desktops, now()) };
      }),
    );
  desktop
    .command('show <id>')
    .description('one desktop')
    .action((id: string) =>
      answer(async ({ client }) => {
        const value = await client.desktop(id);
        return { value, text: showDesktop(value, now()) };
      }),
    );
  desktop
    .command('put <id> <spec.json>')
    .description('register a desktop, or change one that is off')
    .option('--pool <id>', 'its pool', 'default')
    .action((id: string, file: string, { pool }: { pool: string }) =>
      answer(async ({ client }) => {
        const value = await client.putDesktop(id, { poolId: pool, launchSpec: await readJsonFile(file) });
        const text = 'desktopId' in value ? showOperation(value, now()) : showDesktop(value, now());
        return { value, text };
      }),
    );
  for (const [command, description] of Object.entries(commands) as [DesktopCommand, string][]) {
    const line = desktop
      .command(`${command} <id>`)
      .description(description)
      .option('--reason <text>', 'goes into the audit log', 'asked for on the command line');
    if (command === 'save' || command === 'stop') line.option('--force', 'also when a user is connected');
    if (command === 'save') line.option('--fresh', 'not content with one under way that may be called off');
    if (command === 'restore') line.option('--checkpoint <id>', goingBack);
    line.action((id: string, { checkpoint: checkpointId, ...options }: CommandOptions) =>
      answer(async ({ client }) => {
        const named = checkpointId === undefined ? {} : { checkpointId };
        const value = await client.command(id, command, { ...options, ...named });
        return { value, text: showOperation(value, now()) };
      }),
    );
  }
  desktop
    .command('delete <id>')
    .description('forget a desktop that is off or saved, with its disks and checkpoints')
    .option('--reason <text>', 'goes into the audit log', 'asked for on the command line')
    .action((id: string, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        await client.deleteDesktop(id, reason);
        return { value: { deleted: id }, text: `${id} is deleted` };
      }),
    );

  addDesktopPlans(desktop, answer, now);

  const operation = program.command('operation').description('what is being done, and what came of it');
  operation
    .command('show <id>')
    .description('one operation')
    .action((id: string) =>
      answer(async ({ client }) => {
        const value = await client.operation(id);
        return { value, text: showOperation(value, now()) };
      }),
    );
  operation
    .command('list <desktopId>')
    .description('the operations of a desktop, newest first')
    .action((id: string) =>
      answer(async ({ client }) => {
        const value = await client.operationsOf(id);
        return { value, text: showOperations(value, now()) };
      }),
    );

  operation
    .command('cancel <id>')
    .description('call a save off, or what no worker has taken yet')
    .option('--reason <text>', 'goes into the audit log', 'asked for on the command line')
    .action((id: string, { reason }: { reason: string }) =>
      answer(async ({ client }) => {
        const value = await client.cancel(id, reason);
        return { value, text: showOperation(value, now()) };
      }),
    );

  const pool = program.command('pool').description('pools and their policies');
  pool
    .command('show <id>')
    .description('one pool')
    .action((id: string) =>
      answer(async ({ client }) => {
        const value = await client.pool(id);
        return { value, text: showPool(value) };
      }),
    );
  pool
    .command('put <id> <policy.json>')
    .description('make a pool or change its policy')
    .action((id: string, file: string) =>
      answer(async ({ client }) => {
        const value = await client.putPool(id, await readJsonFile(file));
        return { value, text: showPool(value) };
      }),
    );

  const checkpoint = program
    .command('checkpoint')
    .description('what is stored of a desktop: what is kept, look into it, check it, take it elsewhere');
  addCheckpointKeeping(checkpoint, answer, now);
  addCheckpointTools(program, context);

  addHosts(program, answer, now);
  addBrokers(program, answer, now);

  addAudit(program, context, answer);

  const keys = program
    .command('keys')
    .description(
      'the keys of the api (create, list, revoke), and those that checkpoints are encrypted with (data, rotate)',
    );
  addApiKeys(keys, answer, now);
  keys
    .command('data')
    .description('which keys of checkpoints there are and what wraps them; never a key itself')
    .action(() =>
      answer(async ({ client }) => {
        const value = [];
        for await (const one of client.keys()) value.push(one);
        return { value, text: showKeys(value, now()) };
      }),
    );
  keys
    .command('rotate')
    .description('wrap all keys of checkpoints with a new key-encryption key; checkpoints stay as they are')
    .option('--reason <text>', 'goes into the audit log', 'asked for on the command line')
    .option('--rewrap-only', 'without a new one: finish what was interrupted')
    .action(async (options: { reason: string; rewrapOnly?: boolean }) => {
      let rejected = 0;
      await answer(async ({ client }) => {
        const { json } = program.opts<{ json?: boolean }>();
        const value = await rotateKeys(client, options, (progress) => {
          if (!json) print(progress);
        });
        rejected = value.rejected.length;
        return { value, text: showRotation(value) };
      });
      if (rejected === 0) return;
      throw new DormouseError(
        'KEY_REJECTED',
        `${counted(rejected, 'key')} could not be unwrapped; the others are done`,
      );
    });

  const events = program.command('events').alias('event').description('speak as a broker does, for trying things out');
  addReplay(events, answer);
  events
    .command('send')
    .description('send a signed webhook')
    .addArgument(new Argument('<type>', 'the event, `vdc.session.` may be left out').argParser(eventType))
    .argument('<desktopId>')
    .option('--connection <id>', 'the connection it is about', 'cli')
    .option('--source <source>', 'the broker that says it', cliSource)
    .addOption(new Option('--reason <reason>', 'why the user was disconnected').choices(disconnectReasons))
    .action((type: BrokerEventType, desktopId: string, options: SendOptions) =>
      answer(async ({ url, webhookSecret }) => {
        const { connection, reason, source } = options;
        assertMeant(type, source);
        const data = { desktopId, connectionId: connection, ...(reason === undefined ? {} : { reason }) };
        const value = await sendWebhook({ url, secret: await webhookSecret(source) }, { type, source, data });
        return { value, text: showAnswer(value) };
      }),
    );
  return program;
}

/** @throws REQUEST_INVALID: a heartbeat promises more of them, which the command line does not send */
function assertMeant(type: BrokerEventType, source: string): void {
  if (type !== 'vdc.broker.heartbeat' || source !== cliSource) return;
  throw new DormouseError(
    'REQUEST_INVALID',
    'who sends a heartbeat is waited for when no more of them come: name the broker that does send them with --source',
  );
}

function eventType(text: string): BrokerEventType {
  const known = brokerEventTypes.find((type) => type === text || type === `vdc.session.${text}`);
  if (known !== undefined) return known;
  throw new DormouseError('REQUEST_INVALID', `there is no event ${text}; there are ${brokerEventTypes.join(', ')}`);
}

/** @throws REQUEST_INVALID when there is no such file, or no JSON object in it. */
async function readJsonFile(file: string): Promise<JsonObject> {
  try {
    const value: unknown = JSON.parse(decodeText(await readFile(file)));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch (cause) {
    throw new DormouseError('REQUEST_INVALID', `${file} cannot be read: ${(cause as Error).message}`, {}, { cause });
  }
  throw new DormouseError('REQUEST_INVALID', `${file} must hold a JSON object`);
}
