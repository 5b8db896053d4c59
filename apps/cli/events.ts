import { sendWebhook } from '@dormouse/api-client';
import { DormouseError } from '@dormouse/errors';
import { brokerEventTypes, byHand, disconnectReasons, type BrokerEventType } from '@dormouse/session';
import { Argument, Option, type Command } from 'commander';
import type { CommandContext } from './command-context';
import { addReplay } from './replay-events';
import { showAnswer } from './show';

interface SendOptions {
  readonly connection: string;
  readonly source: string;
  readonly reason?: string;
}

export function addEvents(events: Command, context: CommandContext): void {
  addReplay(events, context);
  events
    .command('send')
    .description('send a signed webhook')
    .addArgument(new Argument('<type>', 'the event: `vdc.session.connected`, or only `connected`').argParser(eventType))
    .argument('<desktopId>')
    .option('--connection <id>', 'the connection it is about', 'cli')
    .option('--source <source>', 'the broker that says it', byHand)
    .addOption(new Option('--reason <reason>', 'why the user was disconnected').choices(disconnectReasons))
    .action((type: BrokerEventType, desktopId: string, options: SendOptions) =>
      context.answer(async ({ url, webhookSecret }) => {
        const { connection, reason, source } = options;
        assertMeant(type, source);
        const data = { desktopId, connectionId: connection, ...(reason === undefined ? {} : { reason }) };
        const value = await sendWebhook({ url, secret: await webhookSecret(source) }, { type, source, data });
        return { value, text: showAnswer(value) };
      }),
    );
}

/** @throws REQUEST_INVALID: a heartbeat promises more of them, which the command line does not send */
function assertMeant(type: BrokerEventType, source: string): void {
  if (type !== 'vdc.broker.heartbeat' || source !== byHand) return;
  throw new DormouseError(
    'REQUEST_INVALID',
    'who sends a heartbeat is waited for when no more of them come: name the broker that does send them with --source',
  );
}

function eventType(text: string): BrokerEventType {
  const known = brokerEventTypes.find((type) => type === text || type.endsWith(`.${text}`));
  if (known !== undefined) return known;
  throw new DormouseError('REQUEST_INVALID', `there is no event ${text}; there are ${brokerEventTypes.join(', ')}`);
}
